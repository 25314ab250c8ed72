"""How much of the files that are there a change must keep: each level asks for all that the ones below it ask for."""

from __future__ import annotations

from enum import StrEnum


class Level(StrEnum):
    """From the strictest: training goes on, a strict load works, a chain leads there, a lenient load works after the chain."""

    EXACT = "exact"
    STRICT = "strict"
    MIGRATABLE = "migratable"
    LOOSE = "loose"
