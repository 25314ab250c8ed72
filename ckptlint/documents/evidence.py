"""What `suggest` knows of names, read from the shipped `evidence/names.json`, which `benchmarks/learn_names.py` makes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckptlint.engine.suggest.names import Synonyms

_FOLDER = Path(__file__).parent / "evidence"


def shipped_synonyms() -> Synonyms:
    return synonyms(json.loads((_FOLDER / "names.json").read_text("utf-8")))


def synonyms(learned: Mapping[str, Any]) -> Synonyms:
    """Take what `benchmarks/learn_names.py` learned."""
    return Synonyms(
        phrases=learned["phrases"],
        joined=tuple(map(tuple, learned["joined"])),
        words={word: frozenset(found) for word, found in learned["words"].items()},
        ordinals=tuple(map(tuple, learned["ordinals"])),
    )
