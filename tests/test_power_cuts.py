"""The power goes at any moment of a run: what has a name is whole or refused, and `recover` ends at the old or the new files."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from migrating import write_migration  # noqa: E402  needs torch
from power_cuts import Recorder, put  # noqa: E402

from ckptlint.commands import recover  # noqa: E402
from ckptlint.commands.migrate import Request, migrate  # noqa: E402
from ckptlint.errors import CkptlintError  # noqa: E402
from ckptlint.formats import open_checkpoint  # noqa: E402

INDEX = "model.safetensors.index.json"
SPLIT = '- {from: "a.{n}", to: ["b.{n}", "c.{n}"], ops: [split: {parts: 2}]}'
OUTPUTS = [("new.pt", False), ("new.pt", True), (INDEX, False), (INDEX, True), ("run.dcp", True), ("model.pt", None)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cuts")
    torch.manual_seed(0)
    torch.save({**{f"a.{n}": torch.rand(8, 6) for n in range(2)}, "w": torch.rand(3)}, folder / "old.pt")
    torch.save({f"older.{n}": torch.rand(6, 6) for n in range(2)}, folder / "older.pt")
    write_migration(folder, f"rewrites:\n{SPLIT}\nrest: keep\n").rename(folder / "m.yaml")
    write_migration(folder, "rewrites: []\nrest: keep\n").rename(folder / "keep.yaml")
    names = 'rewrites:\n- rename: {"a.{n}": "blocks.{n}.weight"}\nrest: keep\n'
    write_migration(folder, names).rename(folder / "names.yaml")
    return folder


class Run:
    """One output (in place where `force` is None) in a folder, and the folder before and after it."""

    def __init__(self, made, folder, output, force):
        self.made, self.folder, self.force = made, folder / "here", force
        self.output = str(self.folder / output)
        self.folder.mkdir()
        if force:
            self.migrate("older.pt", "keep.yaml", force=False)
        elif force is None:
            shutil.copy(made / "old.pt", self.output)
        self.before = self.files()

    def migrate(self, source="old.pt", migration="m.yaml", *, force=None):
        if self.force is None:
            migrate(Request(self.output, [str(self.made / "names.yaml")], in_place=True))
            return
        shard = 250 if self.output.endswith("json") else None
        force = bool(self.force) if force is None else force
        files = [str(self.made / migration)]
        migrate(Request(str(self.made / source), files, self.output, max_shard_size=shard, force=force))

    def recorded(self, patch, **more):
        """The states that a power cut may leave."""
        recorder = Recorder(self.folder, patch, **more)
        self.migrate()
        patch.undo()
        self.after = self.files()
        return list(recorder.states.values())

    def files(self):
        found = {str(p.relative_to(self.folder)): p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}
        return {name: content for name, content in found.items() if ".ckptlint-" not in name}

    def fault(self, state, *, undo):
        """What is wrong about a state, and the way out of it; nothing where all is well."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        put(state, self.folder)
        try:
            open_checkpoint(Path(self.output)).close()
            if self.files() not in (self.before, self.after):
                return f"is read: {sorted(self.files())}"
        except CkptlintError:
            if self.files() in (self.before, self.after) and self.files() and self.force is not None:
                return "is whole, and refused"
        try:
            recover.run(self.output, undo=undo)
        except CkptlintError as error:
            if self.before:
                return f"is not recovered: {error}"
        if self.files() not in (self.before, self.after):
            return f"ends with {sorted(self.files())}"
        if self.files() != self.after:
            self.migrate()
        return "" if self.files() == self.after else "does not go on"


@pytest.fixture
def folder():
    """A folder in memory where there is one."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        yield Path(name)


@pytest.mark.parametrize(("output", "force"), OUTPUTS)
def test_a_power_cut_at_any_moment_loses_nothing(output, force, made, folder, monkeypatch):
    run = Run(made, folder, output, force)
    states = run.recorded(monkeypatch)
    assert len(states) > 10
    faults = [fault for number, state in enumerate(states) if (fault := run.fault(state, undo=number % 2 == 1))]
    assert not faults


@pytest.mark.parametrize(("output", "force"), [("new.pt", True), (INDEX, True), ("model.pt", None)])
def test_without_the_syncs_of_files_it_would(output, force, made, folder, monkeypatch):
    run = Run(made, folder, output, force)
    states = run.recorded(monkeypatch, blind_to=("file",))[::-1]
    assert any(run.fault(state, undo=number % 2 == 1) for number, state in enumerate(states))
