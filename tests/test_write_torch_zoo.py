"""Everything that torch saves is written again, from a file in either of torch's formats to either, so that torch loads the same."""

import io
from functools import partial

import pytest

from ckptlint import CkptlintError, inspect, migrate
from ckptlint.commands.supplying import Supplier
from ckptlint.engine.assemble import Assembly
from ckptlint.engine.passage import Outcome
from ckptlint.formats import open_checkpoint
from ckptlint.formats.legacy_writer import LegacyWriter
from ckptlint.formats.torch_zip_writer import TorchZipWriter

torch = pytest.importorskip("torch")

from torch_zoo import PLAIN, WRITERS, saved, valid  # noqa: E402  after torch is known to be there
from zoo_forms import by_ckptlint, by_torch, loaded  # noqa: E402

VALUES = dict(valid())
UNLOADABLE = [  # by torch, from its old format
    *(name for name in PLAIN if getattr(torch, name) in torch.storage._new_dtypes()),
    *["two storages", "one storage, two dtypes", "nested"],
]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what torch says of types that it holds half finished


def written(path, *, legacy=False):
    """The file migrated with nothing in it changed; without a state dict in it, written by what `migrate` writes with."""
    out = path.with_name("new.pt")
    sections = inspect(path).sections
    if sections and not any(section.module for section in sections):
        migration = path.with_name("keep.yaml")
        migration.write_text("ckptlint: 1\nsummary: nothing changes\nrest: keep\n")
        migrate(path, migration, out, legacy=legacy, force=True)
        return out
    checkpoint = open_checkpoint(path)
    try:
        assembly = Assembly(Outcome(checkpoint, (), (), frozenset(), {}, ()))
        made = LegacyWriter if legacy else partial(TorchZipWriter, name="new.pt")
        writer = made(assembly.root, replace=assembly.replace)
        with out.open("w+b") as file:
            writer.write(file, Supplier(checkpoint, [], assembly, memory=1 << 20), lambda _: None)
        assert out.stat().st_size == writer.nbytes
        return out
    finally:
        checkpoint.close()


def looked_at(forms):
    """Values, dtypes, shapes, kinds and what is shared: where in a storage a view lies is the writer's business."""
    return {place: _plain(said) for place, said in forms.items()}, _groups(forms)


def _plain(said):
    if isinstance(said, dict):
        return {name: _plain(part) for name, part in said.items()}
    if isinstance(said, list):
        return [_plain(part) for part in said]
    if isinstance(said, tuple) and len(said) == 8:
        return (*said[:2], *said[6:])
    return tuple(map(_plain, said)) if isinstance(said, tuple) else said


def _groups(forms):
    groups = {}
    for place, said in forms.items():
        if len(said) == 8:
            groups.setdefault((said[4], *said[1:4]), []).append(place)
    return sorted(groups.values())


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("writer", ["zip", "legacy"])
def test_what_is_written_again_loads_as_the_same(name, writer, tmp_path):
    path = tmp_path / "old.pt"
    value = VALUES[name]()
    path.write_bytes(WRITERS[writer](value))
    truth = by_torch(loaded(saved(value)))  # of the old format torch cannot load all that it writes
    again = by_torch(loaded(written(path).read_bytes()))
    if (
        name == "one storage, two dtypes"
    ):  # each gets its own elements: what torch shares between dtypes is not kept shared
        assert looked_at(again)[0] == looked_at(truth)[0]
    else:
        assert looked_at(again) == looked_at(truth)


@pytest.mark.parametrize("name", [name for name in VALUES if name not in UNLOADABLE])
def test_what_is_written_in_the_old_format_loads_as_the_same(name, tmp_path):
    path = tmp_path / "old.pt"
    path.write_bytes(saved(VALUES[name]()))
    out = written(path, legacy=True)
    assert looked_at(by_torch(loaded(out.read_bytes()))) == looked_at(by_torch(loaded(path.read_bytes())))


@pytest.mark.parametrize("name", UNLOADABLE)
def test_what_torch_cannot_load_from_the_old_format_is_refused(name, tmp_path):
    path = tmp_path / "old.pt"
    path.write_bytes(saved(VALUES[name]()))
    with pytest.raises(CkptlintError, match="torch cannot load"):
        written(path, legacy=True)
    if name != "nested":  # of which torch reads the sizes before it has them: whatever is there in memory
        with pytest.raises(AttributeError):
            loaded(WRITERS["legacy"](VALUES[name]()))


def test_a_big_endian_file_is_written_little_endian(tmp_path):
    from formats.test_torch_zip import _turned

    value = {"f": torch.tensor([1.5, -2.0]), "c": torch.tensor([1 + 2j]), "b": torch.tensor([1, 2], dtype=torch.int8)}
    path = tmp_path / "old.pt"
    path.write_bytes(_turned(saved(value)))
    for legacy in (False, True):
        found = torch.load(io.BytesIO(written(path, legacy=legacy).read_bytes()), weights_only=True)
        assert all(torch.equal(found[key], value[key]) for key in value)


def test_ours_is_read_as_torch_reads_it(tmp_path):
    path = tmp_path / "old.pt"
    path.write_bytes(saved(VALUES["training"]()))
    checkpoint = open_checkpoint(written(path))
    try:
        assert by_ckptlint(checkpoint) == by_torch(loaded((tmp_path / "new.pt").read_bytes()))
    finally:
        checkpoint.close()
