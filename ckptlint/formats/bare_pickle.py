"""Read a bare pickle with arrays or tensors in it: what `pickle.dump` and joblib make of a state dict, detectron2's and Caffe2's zoos.

The elements stay in the file where they lie there in one piece. Where they do not (protocols 0 to 2 write Python 3's bytes as text) they
are held in memory. torch's tensors are pickled with their storage as a whole torch.save file in a byte string; that one is opened in place.
A pickle without any of them is somebody else's, and is called by what it holds.
"""

from __future__ import annotations

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.tree import Bytes, Global, Node, Storage, Tensor, Tuple, Value
from ckptlint.errors import FormatError
from ckptlint.formats import legacy_pickle
from ckptlint.formats.left_in_file import Behind, Left
from ckptlint.formats.pickle_notes import pickle_notes
from ckptlint.formats.pickle_streaming import read_apart
from ckptlint.formats.pickled_arrays import Arrays
from ckptlint.formats.pickles.limits import Limits
from ckptlint.formats.pickles.machine import Pickle, children
from ckptlint.formats.pickles.objects import byte_array
from ckptlint.formats.pickles.state import Maker, State
from ckptlint.formats.triage_pickles import judge_pickle, judge_unread, unpacked
from ckptlint.formats.window import Window

FORMAT = "pickle"
_LIMITS = Limits(
    operations=6_000_000
)  # of a hundred thousand arrays; a data set of as many bytes would take minutes for nothing
_MOST_HELD = 256 << 20  # bytes in memory
_HEADER = 1024  # bytes of a storage's own file before its elements


def read(source: ByteSource, *, part: int = 0) -> Checkpoint:
    """Read the pickle's tree, with tensors in place of arrays. `FormatError` where it has none."""
    reading = _Reading(source, part)
    try:
        pickle, behind = read_apart(source, makers=reading.makers, limits=_LIMITS)
    except FormatError as error:
        raise judge_unread(source, error) from None
    if len(pickle.storages) > len(reading.storages):
        raise unpacked(source)  # it names storages by their records in an archive
    if pickle.end != source.size:
        raise FormatError(
            f"{source.size - pickle.end} bytes follow the pickle's STOP",
            where=f"{source.name}: byte {pickle.end}",
            hint="something was appended to the file, or it is several pickles, one behind the other",
        )
    arrays = Arrays(behind, reading.locate, reading.restore, source.name)
    root = arrays.replace(pickle.root)
    storages = (*reading.storages, *arrays.storages)
    if not storages or not _has_tensor(root):
        raise judge_pickle(source, pickle)
    return Checkpoint(
        root=root,
        sections=(),
        format=FORMAT,
        origin=source.name,
        parts=(source, reading.held),
        storages=storages,
        notes={"checksums": "absent"} | _notes(pickle),
    )


def _notes(pickle: Pickle) -> dict[str, str]:
    """What the notes of torch's own files say, but for the protocol: torch's is no higher for what was in a pickle of another."""
    notes = pickle_notes(pickle)
    return {"pickled": notes.pop("protocol")} | notes


def _has_tensor(root: Value) -> bool:
    pending, seen = [root], set[int]()
    while pending:
        node = pending.pop()
        if isinstance(node, Tensor):
            return True
        if isinstance(node, Node) and id(node) not in seen:
            seen.add(id(node))
            pending.extend(children(node))
    return False


class Held:
    """Elements in memory, as a source: those that do not lie in the file in one piece."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0
        self._content = bytearray()

    def add(self, content: bytes) -> int:
        """Keep some bytes; return where they begin."""
        start = len(self._content)
        if start + len(content) > _MOST_HELD:
            raise FormatError(
                f"has more than {_MOST_HELD} bytes of arrays that cannot be left in the file",
                where=self.name,
                hint="load it with pickle, and pickle it again with protocol 5",
            )
        self._content += content
        self.size = len(self._content)
        return start

    def read(self, offset: int, length: int) -> bytes:
        if not 0 <= offset <= offset + length <= len(self._content):
            raise FormatError(f"has no {length} bytes at {offset} of its arrays", where=self.name)
        return bytes(self._content[offset : offset + length])

    def fileno(self) -> int | None:
        return None

    def check_unchanged(self) -> None:
        """Nobody else has these bytes."""


class _Reading:
    def __init__(self, source: ByteSource, part: int) -> None:
        self._source = source
        self._part = part
        self.held = Held(source.name)
        self.storages: list[Storage] = []

    @property
    def makers(self) -> dict[tuple[str, str], Maker]:
        return {("torch.storage", "_load_from_bytes"): self.storage, ("builtins", "bytearray"): _byte_array}

    def locate(self, content: Value, nbytes: int) -> tuple[int, int] | None:
        """Return the part and the place of an array's elements; None where they are more or fewer."""
        if isinstance(content, Behind):
            return self._part, content.start
        if isinstance(content, Left):
            return (self._part, content.start) if content.length == nbytes else None
        found = _in_memory(content)
        return (self._part + 1, self.held.add(found)) if found is not None and len(found) == nbytes else None

    def restore(self, left: Left) -> Value:
        """Return what was left in the file and is no array's."""
        if left.length > _MOST_HELD:
            raise FormatError(f"has a byte string of {left.length} bytes in it", where=self._source.name)
        content = self._source.read(left.start, left.length)
        if left.kind == "bytearray":
            return Bytes(content)
        if left.kind == "bytes":
            return content
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content

    def storage(self, state: State, function: Global, arguments: Tuple, position: int) -> Value:
        """`torch.storage._load_from_bytes(content)`: the content is a torch.save file that holds one storage."""
        content = arguments.items[0] if len(arguments.items) == 1 else None
        if isinstance(content, Left):
            source: ByteSource = Window(
                self._source, content.start, content.length, f"{self._source.name}[{content.start}:]"
            )
            part, start = self._part, content.start
        elif isinstance(content, bytes):
            part, start = self._part + 1, self.held.add(content)
            source = Window(self.held, start, len(content), f"{self._source.name}: a storage")
        else:
            raise state.fail(f"{function} is not called with a byte string", position - 1)
        inside = legacy_pickle.read(source, part=part, portion=_HEADER).root
        if not isinstance(inside, Storage):
            raise state.fail("a storage's own file holds something else", position - 1)
        inside.start += start
        inside.key = f"s{len(self.storages)}"
        state.storages[inside.key] = inside
        self.storages.append(inside)
        return inside


def _byte_array(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    """`bytearray(content)`, as protocols 3 and 4 have it."""
    content = arguments.items[0] if len(arguments.items) == 1 else None
    if isinstance(content, Left):
        return Left("bytearray", content.start, content.length)
    return byte_array(state, function, arguments, position)


def _in_memory(content: Value) -> bytes | None:
    if isinstance(content, str):
        try:
            return content.encode("latin-1")
        except UnicodeEncodeError:
            return None
    return content.content if isinstance(content, Bytes) else content if isinstance(content, bytes) else None
