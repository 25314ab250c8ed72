"""A process that dies anywhere: what has a name is whole, what was there can be had again, and the same command ends where it would have."""

import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from kills import dies_at, killed_after  # noqa: E402  these need torch
from migrating import write_migration  # noqa: E402

from ckptlint.commands import recover  # noqa: E402
from ckptlint.commands.migrate import Request, migrate  # noqa: E402
from ckptlint.errors import CkptlintError, UsageError  # noqa: E402
from ckptlint.formats import open_checkpoint  # noqa: E402
from ckptlint.formats.atomic import AtomicFile  # noqa: E402
from ckptlint.formats.leftovers import leftovers  # noqa: E402
from ckptlint.formats.staging import StagedFolder  # noqa: E402

CHANGE = """\
rewrites:
- {from: "a.{n}", to: ["b.{n}", "c.{n}"], ops: [split: {parts: 2}]}
rest: keep
"""
INDEX = "model.safetensors.index.json"
WAYS = ("finish", "undo", "resume")


@pytest.fixture
def tmp_path(tmp_path):
    """A folder in memory where there is one: thousands of syncs are waited for here, and what a disk makes of them is not the question."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    torch.manual_seed(0)
    torch.save({**{f"a.{n}": torch.rand(40, 30) for n in range(2)}, "w": torch.rand(3)}, folder / "old.pt")
    torch.save({f"older.{n}": torch.rand(30, 30) for n in range(2)}, folder / "older.pt")
    write_migration(folder, CHANGE).rename(folder / "m.yaml")
    write_migration(folder, "rewrites: []\nrest: keep\n").rename(folder / "keep.yaml")
    return folder


class Place:
    """An output's folder as it was before, and as it is to be."""

    def __init__(self, made, folder, output, *, force, shard=5000):
        self.folder, self.output, self.force = folder / "here", str(folder / "here" / output), force
        self.made, self.shard = made, shard
        self.folder.mkdir()
        if force:
            self.write("older.pt", "keep.yaml", force=False)
        self.before = self.files()
        self.write("old.pt", "m.yaml")
        self.after = self.files()
        self.reset()

    def write(self, source="old.pt", migration="m.yaml", *, resume=False, force=None):
        shard = self.shard if self.output.endswith("json") else None
        force = self.force if force is None else force
        files = [str(self.made / migration)]
        migrate(Request(str(self.made / source), files, self.output, max_shard_size=shard, force=force, resume=resume))

    def reset(self):
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        for name, content in self.before.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(content)

    def files(self):
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}

    def check_names(self):
        """What has the output's name is the old or the new one, whole."""
        if os.path.exists(self.output):
            content = {name: each for name, each in self.files().items() if ".ckptlint-" not in name}
            assert content in (self.before, self.after)
            open_checkpoint(Path(self.output)).close()

    def is_unsettled(self):
        """Whether some of its files are in their places, others not."""
        return self.ended() not in (self.before, self.after)

    def bring_to_an_end(self, way):
        """Go one way; the place is then exactly as it was, or as it was to be, and nothing else is left."""
        if way == "resume":
            if not os.path.exists(self.output) or self.force:
                self.write(resume=True)
                assert self.files() == self.after  # what it had no use for is gone, too
            assert self.ended() == self.after
            return
        try:
            recover.run(self.output, undo=way == "undo")
        except CkptlintError:  # nothing is at the place, and nothing was to be finished
            assert not self.before
        if way == "finish":
            assert self.ended() in (self.before, self.after)
        elif os.path.exists(self.output) and self.files() == self.after:
            pass  # it was all done
        else:
            assert self.files() == self.before

    def ended(self):
        """What is there, beside an unfinished output that the next run begins with or clears."""
        return {name: content for name, content in self.files().items() if ".ckptlint-" not in name}


@pytest.mark.parametrize(("output", "force"), [("new.pt", True), (INDEX, False), (INDEX, True), ("run.dcp", True)])
def test_a_death_at_every_call_loses_nothing(output, force, made, tmp_path):
    place = Place(made, tmp_path, output, force=force)
    stop, dead = 0, True
    while dead:
        stop += 1
        ways, tried = [WAYS[stop % 3]], []
        while ways:
            place.reset()
            dead = dies_at(stop, place.write)
            place.check_names()
            if place.is_unsettled() and len(tried) == 0:
                ways = [*WAYS]
            tried.append(ways.pop())
            place.bring_to_an_end(tried[-1])
    assert stop > 12


@pytest.mark.parametrize("output", ["new.pt", INDEX, "run.dcp"])
def test_a_kill_at_any_moment_loses_nothing(output, made, tmp_path):
    place = Place(made, tmp_path, output, force=True)
    moments = random.Random(0)
    for number in range(12):
        place.reset()
        killed_after(moments.uniform(0, 0.06), place.write)
        place.check_names()
        place.bring_to_an_end(WAYS[number % 3])


def stopped(place, when):
    """Have runs die, each a call later, until the place is as `when` asks for; return what they left beside it."""
    stop = 0
    while True:
        stop += 1
        place.reset()
        assert dies_at(stop, place.write)
        left = [Path(each) for each in leftovers(place.output)]
        if when(left):
            return left


def finished(left):
    """How many files a leftover says are finished."""
    noted = left[0] / ".finished" if left else Path("none")
    return noted.read_text().count("\n") - 1 if noted.exists() else 0


def test_finished_shards_are_begun_with_where_they_are_sound(made, tmp_path, monkeypatch):
    place = Place(made, tmp_path, INDEX, force=False, shard=2500)
    shards = sorted(name for name in place.after if name.endswith("s"))
    assert len(shards) > 3
    written = []
    seal = StagedFolder.seal
    monkeypatch.setattr(StagedFolder, "seal", lambda staged: (written.append(staged._open), seal(staged)))
    for damaged in (False, True):
        (left,) = stopped(place, lambda left: finished(left) == 2)
        if damaged:
            content = bytearray((left / shards[0]).read_bytes())
            content[-1] ^= 1
            (left / shards[0]).write_bytes(content)
        written.clear()
        place.write(resume=True)
        assert (shards[0] in written) == damaged  # what was noted is not believed
        assert shards[1] not in written
        assert {*shards[2:]} <= {*written}
        assert place.files() == place.after


def test_another_job_begins_anew(made, tmp_path):
    place = Place(made, tmp_path, INDEX, force=False, shard=2500)
    place.write(migration="keep.yaml")
    wanted = place.files()
    stopped(place, lambda left: finished(left) == 2)
    place.write(migration="keep.yaml", resume=True)
    assert place.ended() == wanted


def test_without_resume_the_next_run_clears_what_is_left_and_says_so(made, tmp_path, capsys):
    place = Place(made, tmp_path, INDEX, force=False, shard=2500)
    stopped(place, lambda left: finished(left) == 2)
    place.write()
    assert place.files() == place.after
    assert "2 finished files, which --resume would have begun with" in capsys.readouterr().err


def test_an_interrupted_run_keeps_what_is_finished_and_says_so(made, tmp_path, monkeypatch, capsys):
    place = Place(made, tmp_path, INDEX, force=False, shard=2500)
    seal, sealed = StagedFolder.seal, []

    def interrupted(staged):
        seal(staged)
        sealed.append(staged)
        if len(sealed) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StagedFolder, "seal", interrupted)
        place.write()
    assert "files are finished: with --resume the same command goes on" in capsys.readouterr().err
    assert place.ended() == {}
    place.write(resume=True)
    assert place.files() == place.after


def test_what_is_half_in_place_is_named_with_what_ends_it(made, tmp_path):
    place = Place(made, tmp_path, INDEX, force=True)
    stopped(place, lambda _: not os.path.exists(place.output))
    with pytest.raises(UsageError, match="was being put in place when a run was killed") as caught:
        place.write()
    assert "ckptlint recover" in caught.value.hint
    with pytest.raises(CkptlintError) as missing:
        open_checkpoint(Path(place.output))
    assert "ckptlint recover" in missing.value.hint
    place.bring_to_an_end("undo")


def test_what_is_being_written_is_left_alone(made, tmp_path):
    place = Place(made, tmp_path, "new.pt", force=True)
    with AtomicFile(place.output) as other:
        place.write()
        assert os.path.exists(other.temporary)
        assert list(leftovers(place.output)) == []
