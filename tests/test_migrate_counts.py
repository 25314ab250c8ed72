"""How much of a source is read: what is needed, each byte once, whatever is made of it."""

import itertools
import os

import pytest

torch = pytest.importorskip("torch")

from migrating import write_migration  # noqa: E402  needs torch

from ckptlint.commands import migrate as command  # noqa: E402
from ckptlint.commands.migrate import Request, migrate  # noqa: E402
from ckptlint.formats import open_checkpoint  # noqa: E402
from ckptlint.formats.byte_source import FileSource  # noqa: E402

CHANGES = {
    "renamed": 'rewrites:\n- rename: {"{x}": "new_{x}"}\n',
    "cut": "rewrites:\n- {from: a, to: [a1, a2, a3], ops: [split: {parts: 3}]}\nrest: keep\n",
    "cut across": "rewrites:\n- {from: a, to: [a1, a2], ops: [split: {dim: 1, parts: 2}]}\nrest: keep\n",
    "turned": 'rewrites:\n- {from: a, to: a, ops: [rearrange: "x y -> y x"]}\nrest: keep\n',
    "cut and turned": "rewrites:\n"
    '- {from: a, to: [a1, a2], ops: [split: {parts: 2}, {rearrange: "x y -> y x", only: [0]}]}\nrest: keep\n',
    "cast": "rewrites:\n- {from: a, to: a, ops: [cast: bf16]}\nrest: keep\n",
    "joined": "rewrites:\n- {from: [a, b], to: ab, ops: [concat: {dim: 0}]}\nrest: keep\n",
    "joined across": "rewrites:\n- {from: [a, b], to: ab, ops: [concat: {dim: 1}]}\nrest: keep\n",
    "stacked": "rewrites:\n- {from: [a, b], to: ab, ops: [{stack: {dim: 0}}, {cast: bf16}]}\nrest: keep\n",
}


MOST = {"cut across": 3}  # each half is read with what lies between its rows, and then the whole to be compared


class Watch:
    """What is read of a file's tensors, through Python and by the system."""

    def __init__(self, path, monkeypatch):
        checkpoint = open_checkpoint(path)
        self.data = [(each.start, each.start + each.nbytes) for each in checkpoint.storages]
        checkpoint.close()
        self.through_python, self.by_system = [], []
        self.on = False  # until the header is read: its reader looks a little beyond it
        read, copy, write = FileSource.read, os.copy_file_range, command.write

        def watched_read(source, offset, length):
            if self.on and source.name == str(path):
                self.through_python.append((offset, offset + length))
            return read(source, offset, length)

        def watched_copy(source, target, count, offset_src):
            moved = copy(source, target, count, offset_src)
            self.by_system.append((offset_src, offset_src + moved))
            return moved

        def watched_write(*given):
            self.on = True
            try:
                return write(*given)
            finally:
                self.on = False

        monkeypatch.setattr(command, "write", watched_write)
        monkeypatch.setattr(FileSource, "read", watched_read)
        monkeypatch.setattr(os, "copy_file_range", watched_copy, raising=False)

    def times(self, ranges):
        """How often each byte of the data was met, by storage: the least and the most."""
        found = set()
        for start, stop in self.data:
            edges = sorted({start, stop, *(min(max(at, start), stop) for each in ranges for at in each)})
            for low, high in itertools.pairwise(edges):
                found.add(sum(1 for first, last in ranges if first <= low and high <= last))
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("counts")
    state = {"a": torch.rand(600, 800), "b": torch.rand(600, 800), "w": torch.rand(300, 300)}
    torch.save(state, folder / "old.pt")
    return folder / "old.pt"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("output", ["new.pt", "new.safetensors", "new.dcp", "new.safetensors.index.json"])
def test_every_byte_is_read_once(change, output, made, tmp_path, monkeypatch):
    file = str(write_migration(tmp_path, CHANGES[change]))
    shard = 800_000 if output.endswith("json") else None
    watch = Watch(made, monkeypatch)
    request = {"force": True, "max_shard_size": shard}
    migrate(Request(str(made), [file], str(tmp_path / output), verify=False, **request))
    assert min(watch.times(watch.through_python + watch.by_system)) == 1
    assert max(watch.times(watch.through_python)) <= (2 if change in MOST else 1)
    assert max(watch.times(watch.by_system)) <= 1
    watch.through_python.clear()
    watch.by_system.clear()
    migrate(Request(str(made), [file], str(tmp_path / output), **request))
    found = watch.times(watch.through_python)  # all is seen, and compared with its checksum
    assert found == {1} or (change in MOST and min(found) >= 1 and max(found) <= MOST[change])
    assert max(watch.times(watch.by_system)) <= 1
