"""`ckptlint inspect`: what a checkpoint holds, from its header."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.commands import sources
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.tree import Tensor
from ckptlint.errors import UsageError


def run(checkpoint: str, pattern: str | None, form: str, *, digest: bool, flat: bool) -> tuple[Iterator[str], int]:
    if digest and form != "json":
        raise UsageError("--digest is for --format json")
    with sources.opened(checkpoint) as opened:
        if form == "json":
            return iter([_json(opened, pattern, digest=digest)]), 0
        from ckptlint.report import inspection

        return iter(list(inspection.text(opened, pattern or "", flat=flat))), 0


def _json(checkpoint: Checkpoint, pattern: str | None, *, digest: bool) -> str:
    import json

    from ckptlint.report import inspection

    def digest_of(tensor: Tensor) -> str:
        from ckptlint.formats.tensor_bytes import tensor_digest

        return tensor_digest(checkpoint, tensor)

    return json.dumps(
        inspection.entry(checkpoint, pattern or "", digest_of if digest else None), indent=1, allow_nan=False
    )
