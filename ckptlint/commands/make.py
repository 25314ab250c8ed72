"""`ckptlint make`: write the next migration of a chain, from the schema before to the one after; what is not certain is asked.

Nothing is written before the migration is read again, has its place in the chain, and is proved to make the target.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ckptlint.commands import sources
from ckptlint.commands.chain_folder import write_seals
from ckptlint.commands.chaining import begun
from ckptlint.commands.lock import refreshed_model_lock, write_model_lock
from ckptlint.commands.making import Ask, Pairs, Text, decided, pairs
from ckptlint.commands.prompting import settle
from ckptlint.commands.sides import Sides, named, of_model
from ckptlint.commands.sources import Building
from ckptlint.commands.talk import talk
from ckptlint.commands.texts import put
from ckptlint.commands.versions import renames_since
from ckptlint.core.chain import number_of
from ckptlint.core.digest import short
from ckptlint.core.migration import ChainPlace, Migration
from ckptlint.core.schema import Schema
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.suggested import Said
from ckptlint.engine.chain import Chain, Link, link_up
from ckptlint.engine.compare import compare
from ckptlint.engine.exchanged import exchanged
from ckptlint.engine.prove import prove
from ckptlint.engine.source_renames import SourceRenames, with_source
from ckptlint.engine.suggest.answers import Answers, both, narrowed
from ckptlint.engine.suggest.asking import Asked, Question, ask
from ckptlint.engine.variants import digests, joined
from ckptlint.errors import UsageError

NEEDS_ANSWER = 5
_SLUG = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Request:
    """What to go from and to, the chain's folder, and how questions are answered.

    `since` is the revision of git that has the source code before. `ask` reads an answer from a person, where there is one.
    """

    source: str | None = None
    target: str | None = None
    chain: str | None = None
    answers: str | None = None
    slug: str | None = None
    summary: str | None = None
    building: Building = field(default_factory=Building)
    section: str | None = None
    since: str | None = None
    no_input: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """A migration that is proved, and where it goes."""

    path: str
    text: str
    link: Link


def run(*, form: str, **given: object) -> tuple[Iterable[str], int]:
    request = Request(**given)  # type: ignore[arg-type]  # click checked them
    sides = _sides(request)
    chain = begun(sides.chain)
    _check_start(sides, chain)
    known = pairs(sides.old, sides.new)
    _note_others(sides, known)
    if not any(map(_differ, known.values())):
        return _nothing(sides, known, form), 0
    text = decided(
        known,
        _asking(request, sides, known, talking=form == "text" and not request.no_input),
        _said_of(request, chain, sides),
    )
    if text.questions:
        talk(
            f"{len(text.questions)} questions; answer them in a file for --answers (docs/migrations.md), nothing is written"
        )
        return [_as_json(text.questions)], NEEDS_ANSWER
    made, reasons = _made(request, chain, text, sides, known)
    if reasons:
        talk("the migration does not make the target, and is not written:")
        return reasons, 1
    _write(sides.chain, chain, made)
    lines = [_said(made, form)]
    if sides.model is not None:
        lock = write_model_lock(sides.model, sides.new)
        lines += [lock] if form == "text" else []
    return lines, 0


def _differ(pair: tuple[Schema, Schema]) -> bool:
    """Whether a migration has anything to do: the order of the keys, and which are parameters, is nothing that it changes."""
    old, new = pair
    if old.tensors != new.tensors:
        return bool(compare(old, new))
    found = compare(old, new)
    return bool(found.tied or found.untied)


def _nothing(sides: Sides, known: Pairs, form: str) -> list[str]:
    """Say that there is nothing to migrate; the lock of a configured model is brought up to date all the same."""
    for old, new in known.values():
        for module, first, second in exchanged(old, new):
            talk(
                f"warning: {module or 'the model'} registers {second} before {first} now, and both have the same keys and shapes: "
                "where one is used for the other, old files load without an error and compute something else; "
                "then write the exchange as a `rename`"
            )
        if old.parameters is not None and new.parameters is not None and old.parameters != new.parameters:
            talk("note: the parameters come in another order, by which optimizers number their state")
    lines = [f"{sides.names[1]} is what {sides.names[0]} is: there is nothing to migrate"]
    lock = refreshed_model_lock(sides.model, sides.new) if sides.model is not None else ""
    if form == "json":
        return [json.dumps({"version": 1, "file": None})]
    return [*lines, lock] if lock else lines


def _note_others(sides: Sides, known: Pairs) -> None:
    """Say which variants have another name since, and which have nothing before or after, which the migration is not for."""
    before, after = ({id(schema): name for name, schema in side.items()} for side in (sides.old, sides.new))
    for old, new in known.values():
        was, now = before.pop(id(old), ""), after.pop(id(new), "")
        if was != now and was and now:
            talk(f"note: the variant {now!r} is taken for what was {was!r}, which it is most like")
    for name in sorted({*before.values(), *after.values()} - {""}):
        what = "new, and has no files yet" if name in after.values() else "gone, and files of it are not migrated"
        talk(f"note: the variant {name!r} is {what}")


def _sides(request: Request) -> Sides:
    if request.source is not None and request.target is not None:
        how = (request.building, request.section)
        return named(request.source, request.target, request.chain, request.since, how)
    return of_model(request.source, request.chain, request.since, request.building)


def _asking(request: Request, sides: Sides, known: Pairs, *, talking: bool) -> Ask:
    """What decides for one variant, with the answers of a file, of the source code, and of a person where there is a terminal."""
    from ckptlint.documents.evidence import shipped_synonyms

    synonyms = shipped_synonyms()
    given = [_answers(request)]  # the last are all so far
    if len(known) > 1:
        _check_answers(given[0], known)

    def asked(old: Schema, new: Schema) -> Asked:
        shown = renames_since(sides.since, Path(sides.chain), old, new) if sides.since else SourceRenames()
        own = narrowed(given[-1], old, new) if len(known) > 1 else given[-1]

        def again(answers: Answers) -> Asked:
            found = ask(old, new, synonyms, answers)
            return replace(found, questions=with_source(found.questions, shown))

        answers = replace(own, seen=shown.certain)
        if talking and sys.stdin.isatty() and sys.stderr.isatty():
            found, said = settle(again, answers, _read, talk)
            given.append(both(given[-1], said))
            return found
        return again(answers)

    return asked


def _check_answers(given: Answers, known: Pairs) -> None:
    """Each answer must be about some variant."""
    used = [narrowed(given, *pair) for pair in known.values()]
    for kind in ("rename", "drop", "new"):
        for pattern in getattr(given, kind):
            if not any(pattern in getattr(each, kind) for each in used):
                hint = "take it out, or see the questions again"
                raise UsageError(f"the answer about {pattern!r} fits no key of any variant", hint=hint)


def _read(prompt: str) -> str:
    """A line from the terminal; the prompt goes to stderr, for stdout is data. No more lines is an abort."""
    import click

    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise click.exceptions.Abort
    return line


def _answers(request: Request) -> Answers:
    from ckptlint.documents.answers import read_answers

    return read_answers(sources.read_text(request.answers), request.answers) if request.answers else Answers()


def _check_start(sides: Sides, chain: Chain) -> None:
    """The source must be what the chain leads to, as far as that is recorded."""
    last = chain.links[-1] if chain.links else None
    for variant, after, own in last.place.after.against(digests(sides.old)) if last else ():
        name = f"variant {variant}: " if variant else ""
        raise UsageError(
            f"{name}has the keys {short(own)}, and {last.revision if last else ''} at the head of the chain makes {short(after)}",
            where=sides.names[0],
            hint="the source of `make` is the schema that the chain leads to so far, such as the committed lock",
        )


def _said_of(request: Request, chain: Chain, sides: Sides) -> Said:
    place = ChainPlace(tuple(link.revision for link in chain.heads), digests(sides.old), digests(sides.new))
    return Said(request.summary or "", place)


def _made(request: Request, chain: Chain, text: Text, sides: Sides, known: Pairs) -> tuple[Made, list[str]]:
    """The migration, and why it does not prove."""
    number = 1 + max((number_of(link.revision) for link in chain.heads), default=0)
    path = os.path.join(sides.chain, f"{number:04d}_{_slug(request, text.asked)}.yaml")
    migration = read_migration(text.text, path)
    found = {name: prove(migration, *pair) for name, pair in known.items()}
    said = joined({name: proof.findings for name, proof in found.items()})
    reasons = [f"{each.severity}[{each.rule} {each.slug}] {each.message}" for each in said]
    return Made(path, text.text, _linked(chain, migration)), reasons if any(
        each.failed for each in found.values()
    ) else []


def _linked(chain: Chain, migration: Migration) -> Link:
    return link_up([*chain.migrations, migration]).links[-1]


def _slug(request: Request, asked: Asked) -> str:
    """The name that was given, else what the first change is called."""
    if request.slug is not None:
        if not _SLUG.fullmatch(request.slug):
            raise UsageError(f"--slug {request.slug!r} should be words of a-z and 0-9 with _ between them")
        return request.slug
    for match in asked.suggestion.matches:
        changed = [
            name for name in match.targets[0].template if name not in (match.sources or match.targets)[0].template
        ]
        words = re.findall(r"[a-z0-9]+", "_".join(changed or match.targets[0].template[-2:]).lower())
        if match.way != "rename" or changed:
            return "_".join([match.way, *words])[:48].rstrip("_")
    return "change"


def _write(folder: str, chain: Chain, made: Made) -> None:
    """Write the migration, and the sum behind it."""
    put(Path(made.path), made.text, new=True)
    write_seals(folder, link_up([*chain.migrations, made.link.migration]))


def _said(made: Made, form: str) -> str:
    if form == "json":
        place = made.link.migration.chain or ChainPlace()
        entry = {"file": made.path, "revision": made.link.revision, "parent": place.parent}
        return json.dumps({"version": 1, **entry, "from": place.before.plain, "to": place.after.plain})
    return f"wrote {made.path}: {made.link.revision}, proved"


def _as_json(questions: Iterable[Question]) -> str:
    return json.dumps({"version": 1, "questions": [_question(each) for each in questions]}, indent=1)


def _question(question: Question) -> dict[str, object]:
    return {
        "kind": question.kind,
        "about": question.about,
        "keys": list(question.keys),
        "shape": list(question.shape),
        "why": question.why,
        "choices": [
            {"answer": each.answer, "confidence": each.confidence, "evidence": list(each.evidence)}
            for each in question.choices
        ],
    }
