"""Read one stage backwards: the keys it must have started with, to end with these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from ckptlint.core.migration import Copy, Drop, Keep, Move, New, Rewrite, Stage, Tie, Untie
from ckptlint.core.spec import TensorSpec
from ckptlint.core.template import Captures, Selector, Target
from ckptlint.engine.bind import written
from ckptlint.engine.calls import PreparedCall, Workshop
from ckptlint.engine.faults import UNDECIDED, Faults
from ckptlint.engine.matcher import Matcher
from ckptlint.engine.params import Params
from ckptlint.engine.unfill import Unfiller, unfiller
from ckptlint.engine.unpipe import sources_of
from ckptlint.errors import CkptlintError, PlanError

CURE = "give the old schema with --source"
_LOST = "what is dropped is in no new file: keep the old one (a second name of a tensor that stays comes back with --source)"


class Known(NamedTuple):
    """What is known of a key: its spec; `tensor`, equal for the names of one tensor; its place among the parameters."""

    spec: TensorSpec
    tensor: object
    rank: int | None


Keys: TypeAlias = Mapping[str, Known]
Found: TypeAlias = tuple[str, Captures]


class _Output(NamedTuple):
    """One pattern of what a rewrite leaves: slot n of its targets, or a pattern of the keys it keeps."""

    rewrite: int
    slot: int
    pattern: Unfiller | Selector


def unstaged(stage: Stage, keys: Keys, active: Callable[[Rewrite], bool], params: Params) -> dict[str, Known]:
    """Return the keys that the stage started with, in the order of what was made of them.

    `PlanFaults` names every rewrite whose results leave open what it was applied to, and every key that nothing makes.
    """
    run = _Unstage(stage, keys, params)
    run.walk({number: each for number, each in enumerate(stage.rewrites) if active(each)})
    run.faults.check()
    return run.result()


@dataclass(slots=True)
class _Unstage:
    stage: Stage
    keys: Keys
    params: Params
    faults: Faults = field(default_factory=Faults)
    _before: dict[str, tuple[tuple[int, int, int], Known]] = field(default_factory=dict)  # with place, member, slot
    _places: dict[str, int] = field(default_factory=dict)
    _unsolved: dict[int, str] = field(
        default_factory=dict
    )  # by rewrite: a key of its form that does not tell its captures

    def walk(self, active: Mapping[int, Rewrite]) -> None:
        self._places = {key: place for place, key in enumerate(self.keys)}
        claimed = self._claims(active)
        gone: set[str] = set()
        for number, rewrite in active.items():
            found = claimed.get(number, {})
            gone.update(key for matches in found.values() for key, _ in matches)
            if isinstance(rewrite, Move):
                self._unmove(rewrite, [found.get(slot, []) for slot in range(len(rewrite.targets))])
            elif isinstance(rewrite, Copy):
                self._return(rewrite, found.get(1, []))
                self._uncopy(rewrite, found.get(0, []))
            elif isinstance(rewrite, Keep):
                self._stay(key for matches in found.values() for key, _ in matches)
            elif isinstance(rewrite, Drop) and not rewrite.optional:
                text = f"drops {' and '.join(map(str, rewrite.keys))}, which the new file does not show"
                self.faults.add(UNDECIDED, text, where=rewrite.where, hint=_LOST)
        self._rest([key for key in self.keys if key not in gone], active)
        for rewrite in active.values():
            if isinstance(rewrite, Tie | Untie):
                self._retie(rewrite)

    def result(self) -> dict[str, Known]:
        ordered = sorted(self._before.items(), key=lambda item: item[1][0])
        return {key: known for key, (_, known) in ordered}

    def _undecided(self, text: str, keys: Iterable[str], where: str) -> None:
        self.faults.add(UNDECIDED, text, keys=keys, where=where, hint=CURE)

    def _claims(self, active: Mapping[int, Rewrite]) -> dict[int, dict[int, list[Found]]]:
        """Say which rewrite left each key, by rewrite and slot. What is made wins over what is kept."""
        outputs = [output for number, rewrite in active.items() for output in self._outputs(number, rewrite)]
        matcher = Matcher(
            [each.pattern.template if isinstance(each.pattern, Unfiller) else each.pattern for each in outputs]
        )
        claims: dict[int, dict[int, list[Found]]] = {}
        for key, matches in matcher.matches(self.keys):
            found: list[tuple[_Output, Captures]] = []
            for number, captures in matches:
                output = outputs[number]
                solved = output.pattern.captures(key) if isinstance(output.pattern, Unfiller) else captures
                if solved is not None:
                    found.append((output, solved))
                elif isinstance(output.pattern, Unfiller):
                    self._unsolved.setdefault(id(active[output.rewrite]), key)
            made = [each for each in found if isinstance(each[0].pattern, Unfiller)] or found[:1]
            if len(made) > 1:
                others = " or ".join(dict.fromkeys(active[output.rewrite].where for output, _ in made[1:]))
                self._undecided(f"may be made by this rewrite, or by {others}", [key], active[made[0][0].rewrite].where)
            for output, captures in made[:1]:
                claims.setdefault(output.rewrite, {}).setdefault(output.slot, []).append((key, captures))
        return claims

    def _outputs(self, number: int, rewrite: Rewrite) -> Iterator[_Output]:
        targets: Sequence[Target] = ()
        kinds = {}
        if isinstance(rewrite, Move):
            targets, kinds = (
                rewrite.targets,
                {name: kind for each in rewrite.sources for name, kind in each.kinds.items()},
            )
        elif isinstance(rewrite, Copy):
            firsts = (rewrite.first,) if rewrite.first else ()
            targets, kinds = (rewrite.target, *firsts), dict(rewrite.source.kinds)
        elif isinstance(rewrite, New):
            targets, kinds = (rewrite.key,), dict(rewrite.each.kinds) if rewrite.each else {}
        elif isinstance(rewrite, Keep):
            yield from (_Output(number, slot, selector) for slot, selector in enumerate(rewrite.keys))
        for slot, target in enumerate(targets):
            try:
                yield _Output(number, slot, unfiller(target, kinds, self.params))
            except CkptlintError as error:
                self._undecided(error.message, (), error.where or rewrite.where)

    def _stay(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._put(key, (self._places[key], 0, 0), self.keys[key], "")

    def _rest(self, keys: Sequence[str], active: Mapping[int, Rewrite]) -> None:
        copied = [rewrite.source for rewrite in active.values() if isinstance(rewrite, Copy) and not rewrite.first]
        named = {key for each in active.values() if isinstance(each, Tie | Untie) for key in each.keys}
        for key in keys:
            if self.stage.rest == "keep" or key in named or any(each.match(key) is not None for each in copied):
                self._stay([key])
            else:
                self._undecided("no rewrite makes it", [key], self.stage.where)

    def _put(self, key: str, place: tuple[int, int, int], known: Known, where: str) -> None:
        if key in self._before:
            self._undecided("would have been there twice", [key], where)
        self._before[key] = (place, known)

    def _return(self, copy: Copy, found: Sequence[Found]) -> None:
        """Give what was copied, and moved with its scope, its old name."""
        for key, captures in found:
            if set(copy.source.names) <= captures.keys():
                self._put(written(copy.source, captures), (self._places[key], 0, 0), self.keys[key], copy.where)
            else:
                self._undecided(f"does not tell what of {copy.source} it was", [key], copy.where)

    def _uncopy(self, copy: Copy, found: Sequence[Found]) -> None:
        if not found and not copy.optional:
            self._undecided(f"the new file has no {copy.target}", (), copy.where)
        for key, captures in found:
            if not set(copy.source.names) <= captures.keys():
                self._undecided(f"does not tell what of {copy.source} it is a copy of", [key], copy.where)
            elif written(copy.source, captures) not in (self._before if copy.first else self.keys):
                self._undecided(f"is a copy of {copy.source}, which is not there", [key], copy.where)

    def _retie(self, rewrite: Tie | Untie) -> None:
        """Keys that were tied were tensors of their own, those that were untied were one."""
        first = self._before.get(rewrite.keys[0])
        for key in rewrite.keys:
            if key in self._before and first is not None:
                place, known = self._before[key]
                tensor = key if isinstance(rewrite, Tie) else first[1].tensor
                self._before[key] = (place, known._replace(tensor=tensor))

    def _unmove(self, move: Move, found: Sequence[Sequence[Found]]) -> None:
        if not any(found):
            if not move.optional and id(move) in self._unsolved:
                sources = " and ".join(map(str, move.sources))
                self._undecided(f"does not tell what of {sources} it was", [self._unsolved[id(move)]], move.where)
            elif not move.optional:
                self._undecided(f"the new file has no {' or '.join(map(str, move.targets))}", (), move.where)
            return
        calls = [PreparedCall(call, Workshop(self.params)) for call in move.ops]
        names = tuple(dict.fromkeys(name for each in move.sources for name in each.names if name != move.over))
        for captures, slots in self._groups(move, names, found):
            try:
                self._unbind(move, calls, captures, slots)
            except CkptlintError as error:
                self._undecided(error.message, slots[0][:1], error.where or move.where)

    def _groups(
        self, move: Move, names: tuple[str, ...], found: Sequence[Sequence[Found]]
    ) -> Iterator[tuple[Captures, list[list[str]]]]:
        """Put together what one binding made; a slot's list is in the order of its numbers."""
        groups: dict[tuple[object, ...], tuple[Captures, list[dict[int, str]]]] = {}
        axes = [next((name for name in sorted(each.names) if self._numbers(name, names)), "") for each in move.targets]
        for slot, matches in enumerate(found):
            for key, captures in matches:
                mark = tuple(captures.get(name) for name in names)
                if None in mark:
                    self._undecided(f"does not tell all of {' and '.join(map(str, move.sources))}", [key], move.where)
                    continue
                shared = {name: captures[name] for name in names}
                _, slots = groups.setdefault(mark, (shared, [{} for _ in move.targets]))
                number = captures.get(axes[slot], 0)
                slots[slot][int(number)] = key
        for captures, slots in groups.values():
            if all(slots) and all(sorted(numbered) == list(range(len(numbered))) for numbered in slots):
                yield captures, [[numbered[n] for n in range(len(numbered))] for numbered in slots]
            else:
                keys = [key for numbered in slots for key in numbered.values()]
                self._undecided("was made together with others, which are not all there", keys, move.where)

    def _numbers(self, name: str, names: Sequence[str]) -> bool:
        """Whether a name numbers a list in the targets: it is neither a capture that tells bindings apart, nor a parameter."""
        return name not in names and name not in self.params.values

    def _unbind(
        self, move: Move, calls: Sequence[PreparedCall], captures: Captures, slots: Sequence[Sequence[str]]
    ) -> None:
        made = [tuple(self.keys[key].spec for key in keys) for keys in slots]
        before = sources_of(move, calls, captures, made)
        targets = [key for keys in slots for key in keys]
        place = min(self._places[key] for key in targets)
        tensors = tuple(self.keys[key].tensor for key in targets)
        ranks = [self.keys[key].rank for key in targets]
        known = [rank for rank in ranks if rank is not None]
        rank = min(known) if len(known) == len(ranks) else None
        for slot, (source, specs) in enumerate(zip(move.sources, before, strict=True)):
            listed = move.over in source.names
            if not listed and len(specs) != 1:
                raise PlanError(f"{source} would have been {len(specs)} tensors", where=move.where)
            for number, spec in enumerate(specs):
                key = written(source, {**captures, move.over: number} if listed else captures)
                tensor = (tensors, slot, number) if calls or len(targets) > 1 else tensors[0]
                self._put(key, (place, number, slot), Known(spec, tensor, rank), move.where)
