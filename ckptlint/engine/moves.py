"""Carry out `from` + `to`: bind keys, run operations, name the results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ckptlint.core.migration import Move
from ckptlint.core.plan import Edge
from ckptlint.core.template import Captures
from ckptlint.engine.bind import Binding, Match, bind
from ckptlint.engine.calls import PreparedCall, Workshop
from ckptlint.engine.faults import BAD_SHAPE, BAD_VALUE, WRONG_ARITY, WRONG_COUNT
from ckptlint.engine.params import filled
from ckptlint.engine.pipeline import For, Slot, run_calls
from ckptlint.engine.work import Work
from ckptlint.errors import CkptlintError, PlanError, ShapeError


def carry_out(work: Work, workshop: Workshop, move: Move, matches: Sequence[Sequence[Match]]) -> list[Edge]:
    """Add what a move makes of its keys; return the bindings as edges. What does not fit is a fault and left out."""
    bindings = bind(move, matches, work.values, work.faults)
    run = _MoveRun(work, move, tuple(PreparedCall(call, workshop) for call in move.ops))
    return [edge for binding in bindings if (edge := run.edge(binding)) is not None]


@dataclass(frozen=True, slots=True)
class _MoveRun:
    work: Work
    move: Move
    calls: tuple[PreparedCall, ...]

    def edge(self, binding: Binding) -> Edge | None:
        """Carry out one binding."""
        key = binding.slots[0][0]
        try:
            made = self._made(binding)
        except ShapeError as error:
            self.work.faults.add(BAD_SHAPE, error.message, keys=[key], where=error.where, hint=error.hint)
            return None
        except CkptlintError as error:
            where = error.where or self.move.where
            self.work.faults.add(BAD_VALUE, error.message, keys=[key], where=where, hint=error.hint)
            return None
        if made:
            return self._put(binding, made)
        return None

    def _made(self, binding: Binding) -> list[tuple[str, int, int]]:
        """Return the key, value and place of every result."""
        work, move = self.work, self.move
        if not self.calls and not move.over and len(binding.slots) == len(move.targets):
            return [
                (filled(work.params, target, binding.captures), work.values[key], work.places[key])
                for target, (key,) in zip(move.targets, binding.slots, strict=True)
            ]
        self._check_count(binding)
        return list(self._named(self._slots(binding), binding.captures))

    def _slots(self, binding: Binding) -> tuple[Slot, ...]:
        values, places, over = self.work.values, self.work.places, self.move.over
        slots = tuple(
            Slot(
                tuple([values[key] for key in keys]),
                tuple([places[key] for key in keys]),
                over if over and over in source.names else "",
            )
            for keys, source in zip(binding.slots, self.move.sources, strict=True)
        )
        if not self.calls:
            return slots
        return run_calls(self.work.board, self.calls, slots, binding.captures, self._made_for(binding))

    def _made_for(self, binding: Binding) -> For:
        """The keys that tell from one another what is made new; the target where one tensor becomes one."""
        key = binding.slots[0][0]
        if not any(call.draws for call in self.calls) or len(self.move.targets) > 1 or self.move.over:
            return For(key)
        return For(key, filled(self.work.params, self.move.targets[0], binding.captures))

    def _check_count(self, binding: Binding) -> None:
        if self.move.expect is None or not self.move.over:
            return
        wanted = self.work.params.evaluate(self.move.expect, binding.captures)
        for keys, source in zip(binding.slots, self.move.sources, strict=True):
            if self.move.over in source.names and len(keys) != wanted:
                text = f"{len(keys)} keys are gathered over {{{self.move.over}}}, but {self.move.expect} is {wanted}"
                self.work.faults.add(WRONG_COUNT, text, keys=[keys[0]], where=self.move.where)

    def _named(self, slots: Sequence[Slot], captures: Captures) -> Iterator[tuple[str, int, int]]:
        """Yield the key, value and place of every result."""
        targets = self.move.targets
        if len(slots) != len(targets):
            text = f"makes {len(slots)} tensors for {len(targets)} target keys"
            self.work.faults.add(WRONG_ARITY, text, where=self.move.where)
            return
        for slot, target in zip(slots, targets, strict=True):
            if not slot.axis:
                yield filled(self.work.params, target, captures), slot.values[0], slot.places[0]
                continue
            if slot.axis not in target.names:
                hint = f"fold it with stack or concat, or put {{{slot.axis}}} into the target"
                raise PlanError(f"{target} would be {len(slot.values)} tensors, a list over {{{slot.axis}}}", hint=hint)
            for number, (value, place) in enumerate(zip(slot.values, slot.places, strict=True)):
                yield filled(self.work.params, target, {**captures, slot.axis: number}), value, place

    def _put(self, binding: Binding, made: Sequence[tuple[str, int, int]]) -> Edge:
        work, where = self.work, self.move.where
        for key, value, place in made:
            work.made.put(key, value, place, where)
        sources = binding.slots[0] if len(binding.slots) == 1 else tuple(key for keys in binding.slots for key in keys)
        if work.tied:
            fate = tuple(value for _, value, _ in made)
            for key in sources:
                work.became(key, fate)
        words = tuple([call.words(binding.captures) for call in self.calls])
        return Edge(sources, tuple([key for key, _, _ in made]), words, where)
