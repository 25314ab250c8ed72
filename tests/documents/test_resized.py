"""Each rewrite that a `# resized:` comment offers reads and proves once it is uncommented."""

from __future__ import annotations

import pytest

from ckptlint.core.dtype import DType
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.suggested import migration_yaml
from ckptlint.engine.prove import prove
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest

PLAIN = {"a.norm.weight": (8,), "a.fc.weight": (32, 8), "a.out.weight": (8, 32)}
CASES = {
    "a head for fewer classes": ("head.weight", (20, 8), (5, 8), 2),
    "a larger vocabulary": ("embed.weight", (50, 8), (64, 8), 2),
    "positions of a line": ("pos_embed", (1, 30, 8), (1, 40, 8), 3),
    "positions of an image": ("pos_embed", (1, 17, 8), (1, 26, 8), 3),
    "positions of an image without a token": ("pos_embed", (16, 8), (9, 8), 3),
    "a patch": ("patch.weight", (8, 3, 4, 4), (8, 3, 2, 2), 2),
}


def schema(shapes):
    return Schema({key: TensorSpec(DType.parse("f32"), shape) for key, shape in shapes.items()})


def choices(text):
    """The text with one choice uncommented, for each choice; those that need files of the user are left out."""
    lines = text.splitlines()
    begins = [
        place for place, line in enumerate(lines) if line.startswith("# ") and line.endswith(":") and line[2] != " "
    ]
    begins = [place for place in begins if place + 1 < len(lines) and lines[place + 1].startswith("#   - ")]
    for begin in begins:
        chosen = []
        for line in lines[begin + 1 :]:
            if not line.startswith("#   "):
                break
            chosen.append(line[2:])
        if "remap_rows" not in "".join(chosen):
            yield "\n".join(line for line in lines if not line.startswith("#")).replace(
                "rewrites:", "\n".join(["rewrites:", *chosen])
            )


@pytest.mark.parametrize(("key", "before", "after", "count"), CASES.values(), ids=CASES)
def test_each_choice_is_a_migration_that_proves(key, before, after, count):
    old = schema({f"m.{name}": shape for name, shape in {**PLAIN, key: before}.items()})
    new = schema({**PLAIN, key: after})
    found = suggest(old, new, Synonyms(), SuggestOptions())
    offered = list(choices(migration_yaml(found, old, new)))
    assert len(offered) == count
    proofs = [prove(read_migration(text, "m.yaml"), old, new) for text in offered]
    assert not [finding for proof in proofs if proof.failed for finding in proof.findings]
