"""Fuzz the targets: `PYTHONPATH=.:tests python -m fuzz.run TARGET... --executions N [--seed S]` from the root of the repository.

A mutant that the target takes, or that it refuses in words not met before, joins the corpus: a coverage guide that needs no
instrumentation. `--atheris` guides by coverage instead, where atheris is installed. An escape, a hang or too much memory is written to
`--crashes`, and ends the run of that target.
"""

import argparse
import hashlib
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from types import TracebackType

if "--atheris" in sys.argv:  # before anything of ckptlint is imported, and nothing else: all of Python takes minutes
    import atheris

    with atheris.instrument_imports(include=["ckptlint"]):
        import fuzz.targets

from fuzz.mutate import mutate
from fuzz.targets import TARGETS, Target

from ckptlint.errors import CkptlintError

_SECONDS = 2  # that one execution may take
_MEMORY = 1 << 30  # bytes of address space of the whole process
_MOST = 4000  # files of the corpus in memory


class HangError(Exception):
    """One execution took longer than it may."""


def _hang(_signal: int, _frame: object) -> None:
    raise HangError


def outcome(target: Target, content: bytes) -> str:
    """Run once; return what happened: taken, or refused at which line, reached from which, and what that line answered."""
    try:
        target.run(content)
    except CkptlintError as error:
        places = [_place(error.__traceback__)]
        context = error.__context__  # a reader may put one error for many: the first one is what guides
        while context is not None:
            places.append(_place(context.__traceback__))
            context = context.__context__
        return " | ".join(places)
    return "taken"


def _place(innermost: TracebackType | None) -> str:
    """The last two lines of a traceback."""
    last = ""
    before = ""
    while innermost is not None:
        before, last = last, f"{innermost.tb_frame.f_code.co_filename}:{innermost.tb_lineno}"
        innermost = innermost.tb_next
    return f"{last} < {before}"


def fuzz(target: Target, executions: int, seed: int, corpus: list[bytes] | None = None) -> tuple[int, set[str]]:
    """Run mutants; return how many, and the different outcomes. What escapes from the target escapes from here, with its input noted.

    `corpus` is what to start from, which grows; without one the target's seeds are.
    """
    chance = random.Random(seed)
    corpus = list(target.seeds()) if corpus is None else corpus
    met = {_noted(target, content) for content in corpus}
    for _ in range(executions):
        content = mutate(chance, chance.choice(corpus), corpus)
        said = _noted(target, content)
        if said not in met:
            met.add(said)
            if len(corpus) < _MOST:
                corpus.append(content)
        elif said == "taken" and len(content) < 4096 and chance.random() < 0.01 and len(corpus) < _MOST:
            corpus.append(content)
    return executions, met


def _noted(target: Target, content: bytes) -> str:
    try:
        return outcome(target, content)
    except BaseException as error:
        error.add_note(f"input: {content!r}" if len(content) < 4096 else f"input of {len(content)} bytes")
        error.content = content
        raise


class Watched:
    """A target under a watchdog: each execution has its seconds."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.seeds = target.seeds

    def run(self, content: bytes) -> None:
        signal.setitimer(signal.ITIMER_PROF, _SECONDS)  # of the processor: other work does not count
        try:
            self._target.run(content)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


def _coverage_guided(target: Target, given: argparse.Namespace) -> None:
    """libFuzzer's search, from our seeds; what escapes is written by libFuzzer, as `crash-...` in the current folder."""
    import atheris

    def once(content: bytes) -> None:
        target.accepts(content)

    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(target.seeds()):
            (Path(folder) / str(number)).write_bytes(seed)
        options = [f"-runs={given.executions}", f"-seed={given.seed or 1}", "-max_len=4096", "-timeout=10", folder]
        atheris.Setup([sys.argv[0], *options], once)
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help=", ".join(TARGETS))
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=20_000, help="executions between two lines of progress")
    parser.add_argument("--crashes", type=Path, default=Path("fuzz-crashes"))
    parser.add_argument("--atheris", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("error")
    if given.atheris:
        _coverage_guided(TARGETS[given.targets[0]], given)
        return 0
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGPROF, _hang)
    failed = [_long_run(name, given) for name in given.targets]
    return int(any(failed))


def _long_run(name: str, given: argparse.Namespace) -> bool:
    target = Watched(TARGETS[name])
    done, started = 0, time.monotonic()
    met: set[str] = set()
    corpus = list(target.seeds())
    while done < given.executions:
        try:
            number, said = fuzz(target, min(given.batch, given.executions - done), given.seed + done, corpus)
        except (Exception, HangError) as error:  # noqa: BLE001  whatever it is, it is the find
            given.crashes.mkdir(exist_ok=True)
            content = getattr(error, "content", b"")
            path = given.crashes / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
            path.write_bytes(content)
            traceback.print_exc()
            print(f"{name}: {type(error).__name__} after {done} executions and more; input in {path}", flush=True)  # noqa: T201
            return True
        done, met = done + number, met | said
        rate = done / (time.monotonic() - started)
        print(f"{name}: {done} executions, {len(met)} outcomes, {rate:.0f}/s", flush=True)  # noqa: T201
    return False


if __name__ == "__main__":
    sys.exit(main())
