"""How much a pickle may ask of its reader before it is refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Budgets of one pickle; real checkpoints stay far below all of them.

    `size` in bytes, `operations` in opcodes, values on the `stack` and in the `memo` at once, `depth` in nested containers and open marks,
    `integer` in bytes of one integer (its decimal digits must stay printable), `name` in characters of a class or storage name.
    """

    size: int = 256 << 20
    operations: int = 50_000_000
    stack: int = 2_000_000
    memo: int = 20_000_000
    depth: int = 10_000
    integer: int = 1024
    name: int = 1024


DEFAULT = Limits()
