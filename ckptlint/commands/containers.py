"""What a file says of itself beside its tensors, and what is in place once it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

STAMP = "ckptlint"  # in metadata
STAMP_RECORD = ".ckptlint/revisions.json"


class Written(NamedTuple):
    """What is in place now: the file, the index of several, or the folder, and how many bytes and files it is."""

    path: str
    nbytes: int
    files: int = 1


class Container(NamedTuple):
    """What a file says of itself beside its tensors: metadata, the protocol of its pickles, and its revisions as JSON."""

    metadata: Mapping[str, str]
    protocol: int
    stamp: str = ""

    @property
    def texts(self) -> Mapping[str, str]:
        """The metadata with the stamp, for formats that have a place for texts."""
        return {**self.metadata, **({STAMP: self.stamp} if self.stamp else {})}

    @property
    def records(self) -> Mapping[str, bytes]:
        """The stamp as a member of a zip file, which torch.load passes over."""
        return {STAMP_RECORD: self.stamp.encode()} if self.stamp else {}
