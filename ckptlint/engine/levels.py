"""What a change breaks at each level: for files as they are (exact, strict), after the chain (migratable, loose), and for the code before.

`exact` is what training needs to go on: the order, dtypes and ties of the keys, and the order of the parameters, by which an optimizer's
state is numbered. `strict` is what `load_state_dict` needs. Both are asked of files as they are, and so hold only beside the chain, which
may do nothing: each level finds all that the level below it finds. What a side does not say (a JSON of keys knows no order of parameters)
is no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ckptlint.core.finding import Finding, Severity
from ckptlint.core.level import Level
from ckptlint.core.migration import Migration
from ckptlint.core.operation import Grade
from ckptlint.core.schema import Schema
from ckptlint.core.template import Selector
from ckptlint.engine.faults import IRREVERSIBLE, NO_WAY_BACK, NOT_EXACT, NOT_FORWARD, NOT_STRICT, OTHER_RESULT, Faults
from ckptlint.engine.prove import prove

_KIND = {True: "a parameter", False: "a buffer"}


def as_they_are(level: Level, base: Schema, head: Schema) -> tuple[Finding, ...]:
    """What keeps files of the base from being used as they are, for the levels that ask for it."""
    faults = Faults()
    if level in (Level.EXACT, Level.STRICT):
        hint = f"level {level} takes files as they are: keep the names and shapes, or judge by level migratable"
        for text, key in _refused(base, head, ("files of the base", "the model")):
            faults.add(NOT_STRICT, text, keys=[key], hint=hint)
    if level is Level.EXACT:
        for text, keys in _unlike(base, head):
            faults.add(
                NOT_EXACT,
                text,
                keys=keys,
                hint="level strict accepts this: weights load, training does not go on as it was",
            )
    return faults.findings()


def _refused(file: Schema, model: Schema, words: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """Why a strict load refuses a file, key by key; `words` are what the file and the model are called."""
    for key, wanted in model.tensors.items():
        found = file.tensors.get(key)
        if found is None:
            yield f"is missing in {words[0]}; {words[1]} needs {wanted}", key
        elif found.shape != wanted.shape:
            yield f"is {found} in {words[0]}, and {words[1]} needs {wanted}", key
    for key, found in file.tensors.items():
        if key not in model.tensors:
            yield f"is in {words[0]} ({found}), and {words[1]} does not know it", key


def _unlike(base: Schema, head: Schema) -> Iterator[tuple[str, list[str]]]:
    """What differs of the keys that both have, beyond what a strict load looks at."""
    both = [key for key in head.tensors if key in base.tensors]
    for key in both:
        before, after = base.tensors[key], head.tensors[key]
        if before.shape == after.shape and not before.agrees(after):
            yield f"was {before} and is {after}", [key]
    if base.parameters is not None and head.parameters is not None:
        yield from _of_parameters(base, head, both)
    if [key for key in base.tensors if key in head.tensors] != both:
        yield "the keys come in another order", []


def _of_parameters(base: Schema, head: Schema, both: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    old, new = (dict.fromkeys(each.parameters or ()) for each in (base, head))
    names = [{key: group[0] for group in each.ties for key in group} for each in (base, head)]
    for key in both:
        kinds = [names[side].get(key, key) in known for side, known in enumerate((old, new))]
        if kinds[0] != kinds[1]:
            yield f"was {_KIND[kinds[0]]} and is {_KIND[kinds[1]]}", [key]
    for word, before, after in (("no longer", base, head), ("now", head, base)):
        apart = {key: group for group in after.ties for key in group}
        for group in before.ties:
            if any(apart.get(key) != apart.get(group[0]) or key not in apart for key in group):
                yield f"are {word} one tensor", [key for key in group if key in both]
    if [key for key in old if key in new] != [key for key in new if key in old]:
        yield "the parameters come in another order, by which an optimizer's state is numbered", []


def loosely(made: Schema, model: Schema, allowed: Sequence[Selector], faults: Faults) -> None:
    """Note where a lenient load fails, or leaves a tensor as it was initialised that is not on the list."""
    for key, wanted in model.tensors.items():
        found = made.tensors.get(key)
        if found is None:
            if not any(each.matches(key) for each in allowed):
                text = f"is missing in the result, and would stay as it is initialised; the target needs {wanted}"
                faults.add(
                    OTHER_RESULT,
                    text,
                    keys=[key],
                    hint="--allow-missing, or `allow-missing` of the model in the settings, accepts it",
                )
        elif found.shape != wanted.shape:
            faults.add(OTHER_RESULT, f"is {found} in the result, {wanted} in the target", keys=[key])


def forward(base: Schema, head: Schema, migrations: Sequence[Migration], back: str) -> tuple[Finding, ...]:
    """What the code of the base says to a file of the head, and whether the migrations can take such a file back; `back` is the command."""
    faults = Faults()
    refused = list(_refused(head, base, ("new files", "released code")))
    if not refused:
        return ()
    way = list(_no_way_back(base, migrations))
    hint = f"{back} for released code" if not way else ""
    for text, key in refused:
        faults.add(NOT_FORWARD, text, keys=[key], severity=Severity.INFO, hint=hint)
    for text, keys, where in way:
        hint = "released code cannot read what the new code writes: keep what it needs until it is gone, or leave forward compatibility out"
        faults.add(NO_WAY_BACK, text, keys=keys, where=where, hint=hint)
    return faults.findings()


def _no_way_back(base: Schema, migrations: Sequence[Migration]) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """What new files cannot give back; nobody has an undo file of what was never there."""
    if not migrations:
        yield "no migration leads from the base to here, and so none leads back", (), ""
    for migration in migrations:
        proof = prove(migration, base)
        if proof.plan is None:
            return  # said already: it does not fit
        if proof.grade is Grade.RESTORABLE:
            yield from (
                (each.message.removeprefix(f"{each.pattern}: "), each.keys, each.words.get("where", ""))
                for each in proof.findings
                if each.rule == IRREVERSIBLE.code
            )
        base = proof.plan.target
