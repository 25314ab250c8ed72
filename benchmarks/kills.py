"""Kill migrations with SIGKILL at random moments, and see what is left and whether it can be brought to an end.

    nice python benchmarks/kills.py [--kills 1000] [--seed 0] [--folder DIR]

Each kind of output is killed equally often: a quarter of the runs at moments spread over a little more than a whole run takes, the others
at moments spread over the time from their first change in the folder to their end. Then it goes one of four ways in turn: the same
command again, `--resume`, `recover`, `recover --undo`. After the kill, under the final names, there must be the old files or the new ones,
whole, or nothing where nothing was (what is halfway must be refused by readers), and the source must be as it was. After the way there
must be, byte for byte, the old files or the new ones, and beside them nothing.
Any breach ends the program with a text and code 1.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ckptlint.cli import main as ckptlint

Files = dict[str, bytes]
CHANGE = """\
ckptlint: 1
summary: names, parts, and a transpose
rewrites:
- {from: "a.{n}", to: ["b.{n}.x", "b.{n}.y"], ops: [split: {parts: 2}]}
- {from: turned, to: turned, ops: [rearrange: "x y -> y x"]}
- {from: narrow, to: narrow, ops: [cast: bf16]}
rest: keep
"""
RENAME = 'ckptlint: 1\nsummary: names\nrewrites:\n- rename: {"a.{n}": "b.{n}"}\nrest: keep\n'
_LATER = 0.75  # of the kills, those after the first change
_TIMED = 5  # runs that say how long one takes
TEMPORARY = ".ckptlint-"  # in all names that are not final
_JOURNAL = ".ckptlint-journal"
WAYS = ("again", "--resume", "recover", "recover --undo")


class Kind(NamedTuple):
    """A kind of output: its name, what the command adds, whether an older one is there before, whether it is the source itself."""

    title: str
    output: str
    more: tuple[str, ...] = ()
    replaces: bool = False
    in_place: bool = False


SHARDS = ("--max-shard-size", "30K")
KINDS = (
    Kind("new .pt", "new.pt"),
    Kind("replaced .pt", "new.pt", replaces=True),
    Kind("replaced .safetensors", "new.safetensors", replaces=True),
    Kind("replaced .pt, legacy", "new.pt", ("--legacy",), replaces=True),
    Kind("new .pt with an undo file", "new.pt", ("--undo-file", "here/undo.pt")),
    Kind("new .safetensors shards", "m.safetensors.index.json", SHARDS),
    Kind("replaced .safetensors shards", "m.safetensors.index.json", SHARDS, replaces=True),
    Kind("replaced .bin shards", "m.bin.index.json", SHARDS, replaces=True),
    Kind("replaced DCP folder", "run.dcp", replaces=True),
    Kind(".pt in place", "model.pt", in_place=True),
    Kind(".safetensors in place", "model.safetensors", in_place=True),
)


class BreachError(Exception):
    """A promise was broken."""


@dataclass(frozen=True)
class Place:
    """A kind of output in the working folder: how it is before and after a run, and how long a run takes, in seconds.

    `writing` is the part of it from the first change in the folder on.
    """

    kind: Kind
    before: Files
    after: Files
    seconds: float
    writing: float

    @property
    def path(self) -> str:
        return f"here/{self.kind.output}"

    def reset(self) -> None:
        shutil.rmtree("here", ignore_errors=True)
        Path("here").mkdir()
        for name, content in self.before.items():
            path = Path("here", name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="how many runs must have died [default: 1000]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where to work; a folder in memory is fast")
    given = parser.parse_args()
    moments = random.Random(given.seed)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        os.chdir(folder)
        _apart(_sources)
        source = _files("sources")
        tables = {}
        for number, kind in enumerate(KINDS):
            wanted = given.kills * (number + 1) // len(KINDS) - given.kills * number // len(KINDS)
            tables[kind.title] = _killed(_place(kind), wanted, moments, source)
        os.chdir("/")
    for line in _table(tables):
        print(line)


def _sources() -> None:
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    tensors = {f"a.{n}": torch.rand(40, 60) for n in range(12)}
    tensors |= {"turned": torch.rand(60, 70), "narrow": torch.rand(50, 50)}
    Path("sources").mkdir()
    Path("here").mkdir()
    torch.save(tensors, "sources/old.pt")
    torch.save({f"older.{n}": torch.rand(30, 50) for n in range(8)}, "sources/older.pt")
    save_file(tensors, "sources/tight.safetensors")
    Path("sources/m.yaml").write_text(CHANGE)
    Path("sources/rename.yaml").write_text(RENAME)
    _must("migrate", "sources/tight.safetensors", "-m", "as-is", "-o", "sources/old.safetensors")


def _place(kind: Kind) -> Place:
    shutil.rmtree("here")
    Path("here").mkdir()
    if kind.in_place:
        shutil.copy(f"sources/old{Path(kind.output).suffix}", f"here/{kind.output}")
    elif kind.replaces:
        _must("migrate", "sources/older.pt", "-m", "as-is", "-o", f"here/{kind.output}", *kind.more)
    before = _files("here")
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        ckptlint(_command(kind))  # here, so that all processes begin with what is imported, and kills meet the work
    place = Place(kind, before, _files("here"), 0, 0)
    times = []
    for _ in range(_TIMED):
        place.reset()
        began, child = time.monotonic(), _forked(_command(kind))
        _watched(child)
        changed = time.monotonic()
        if os.waitpid(child, 0)[1]:
            raise BreachError(f"{kind.title}: fails by itself")
        times.append((time.monotonic() - began, time.monotonic() - changed))
    whole, writing = (sum(part) / _TIMED for part in zip(*times, strict=True))
    return replace(place, seconds=whole, writing=writing)


def _watched(child: int) -> None:
    """Wait until a process changes the names in the folder, or ends."""
    names = set(os.listdir("here"))
    while set(os.listdir("here")) == names and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        pass


def _command(kind: Kind, *more: str, force: bool = False) -> list[str]:
    if kind.in_place:
        return ["migrate", f"here/{kind.output}", "-m", "sources/rename.yaml", "--in-place"]
    forced = ["--force"] if kind.replaces or force else []
    return [
        "migrate",
        "sources/old.pt",
        "-m",
        "sources/m.yaml",
        "-o",
        f"here/{kind.output}",
        *kind.more,
        *forced,
        *more,
    ]


def _killed(place: Place, wanted: int, moments: random.Random, source: Files) -> Counter[str]:
    """Kill runs until so many have died; count what was there after each death."""
    found: Counter[str] = Counter()
    number = 0
    while found.total() < wanted:
        place.reset()
        if not _dies(place, moments):
            continue
        state = _state(place)
        way = WAYS[number % len(WAYS)]
        number += 1
        _bring_to_an_end(place, way, state)
        if _files("sources") != source:
            raise BreachError(f"{place.kind.title}: the source has changed")
        found[state] += 1
    return found


def _state(place: Place) -> str:
    """What is under the final names after a death."""
    files = _final()
    if any(name.endswith(_JOURNAL) for name in os.listdir("here")):
        if _run("inspect", place.path) != 3:
            raise BreachError(f"{place.kind.title}: what a journal is about is read")
        return "halfway, and refused"
    if files == place.after:
        return "new"
    if files == place.before:
        strays = len(_files("here")) > len(files)
        return "old, and what was begun" if strays else "old"
    for name, content in files.items():
        if content not in (place.before.get(name), place.after.get(name)) and not place.kind.in_place:
            raise BreachError(f"{place.kind.title}: {name} is neither the old file nor the new one")
    with_undo = "--undo-file" in place.kind.more and files == {"undo.pt": place.after["undo.pt"]}
    if not with_undo and os.path.exists(place.path) and _run("inspect", place.path) != 3:
        raise BreachError(f"{place.kind.title}: what is halfway is read")
    return "halfway, and refused" if not with_undo else "the undo file alone"


def _bring_to_an_end(place: Place, way: str, state: str) -> None:
    if way.startswith("recover") and state != "the undo file alone":
        code = _run(*way.split()[:1], place.path, *way.split()[1:])
        if "--undo-file" in place.kind.more:  # an output of its own, with its own name
            _run("recover", "here/undo.pt", "--undo")
        if code and place.before:
            raise BreachError(f"{place.kind.title}: `{way}` ends with {code}")
        _expect(place, way, _files("here") if "--undo" in way else _final(), (place.before, place.after))
        if "--undo" in way:
            return
    if state == "halfway, and refused" and way == "again":
        if _run(*_command(place.kind)) == 0:
            raise BreachError(f"{place.kind.title}: the same command went on over what is halfway")
        _must("recover", place.path)
        _expect(place, "recover", _final(), (place.after, place.before))
    if place.kind.in_place and state == "halfway, and refused" and way == "--resume":
        _must("recover", place.path)
    if _final() != place.after or not place.kind.in_place:
        resume = ["--resume"] if way == "--resume" and not place.kind.in_place else []
        _must(*_command(place.kind, *resume, force=True))
    _expect(place, way, _files("here"), (place.after,))


def _expect(place: Place, way: str, files: Files, allowed: tuple[Files, ...]) -> None:
    if files not in allowed:
        raise BreachError(f"{place.kind.title}: after `{way}` there are {sorted(files)}, and not what should be there")


def _final() -> Files:
    return {name: content for name, content in _files("here").items() if TEMPORARY not in name}


def _files(folder: str) -> Files:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def _dies(place: Place, moments: random.Random) -> bool:
    """Run the command in a process that is killed after a while; whether it was before its end."""
    later = moments.random() < _LATER
    child = _forked(_command(place.kind))
    if later:
        _watched(child)
    end = time.monotonic() + moments.uniform(0, 1.1 * (place.writing if later else place.seconds))
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.0005))
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) < 0


def _run(*arguments: str) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(_forked([*arguments]), 0)[1])


def _must(*arguments: str) -> None:
    code = _run(*arguments)
    if code:
        raise BreachError(f"`ckptlint {' '.join(arguments)}` ends with {code}")


def _apart(task: Callable[[], None]) -> None:
    """Do it in a process of its own: a process without torch is forked sooner."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            task()
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        sys.exit("the sources were not made")


def _forked(arguments: list[str]) -> int:
    """Start a command without an output."""
    child = os.fork()
    if child:
        return child
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    code = 1
    try:
        code = ckptlint(arguments)
    finally:
        os._exit(code)


def _table(tables: dict[str, Counter[str]]) -> Iterator[str]:
    states = ("old", "old, and what was begun", "the undo file alone", "halfway, and refused", "new")
    yield f"| | killed | {' | '.join(states)} | ended well |"
    yield f"|---|{'---|' * (len(states) + 2)}"
    total: Counter[str] = Counter()
    for title, found in [*tables.items(), ("all", total)]:
        total += found if found is not total else Counter()
        yield f"| {title} | {found.total()} | {' | '.join(str(found[each]) for each in states)} | {found.total()} |"


if __name__ == "__main__":
    if not hasattr(os, "fork"):
        sys.exit("needs fork")
    try:
        main()
    except BreachError as breach:
        sys.exit(str(breach))
