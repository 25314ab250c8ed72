"""The file names in a shard index, which must stay in its folder."""

from __future__ import annotations

from pathlib import PureWindowsPath

from ckptlint.core.survey import Odd
from ckptlint.errors import FormatError
from ckptlint.formats.scanning.blobs import Blob, Finds
from ckptlint.formats.strict_json import parse

_MOST = 64 << 20  # bytes of an index


def check_index(blob: Blob, finds: Finds) -> None:
    """Note shards that lie outside of the index's folder; what is no index is left alone."""
    if b'"weight_map"' not in blob.read(0, 1 << 20):
        return
    try:
        index = parse(blob.read(0, _MOST), blob.place)
    except FormatError:
        return  # whoever reads it as a checkpoint says so
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict):
        return
    for name in dict.fromkeys(name for name in names.values() if isinstance(name, str)):
        if leads_out(name):
            finds.odd(Odd.LEADS_OUT, f"names the shard {name!r}, which is not a file below its folder", blob.place)


def leads_out(name: str) -> bool:
    """Whether a name means something outside of the folder, on any system."""
    spelled = PureWindowsPath(name)  # knows drives and both kinds of slashes
    return bool(spelled.drive or spelled.root) or ".." in spelled.parts or "\0" in name or ":" in name
