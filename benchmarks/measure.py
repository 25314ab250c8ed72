"""Time commands as whole processes, in turn, and compare them pair by pair.

These machines are shared and noisy: what is quoted is the median of the ratios of interleaved pairs, with its spread, never a lone time.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# as installed: compiled once, not at every start
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True, slots=True)
class Run:
    """One finished process: wall and CPU seconds, and peak resident memory in MB."""

    seconds: float
    megabytes: float
    processor: float


@dataclass(frozen=True, slots=True)
class Contender:
    """A command under test; `clean` removes what it wrote, outside the measured time."""

    name: str
    command: Sequence[str]
    clean: Callable[[], None] = lambda: None
    rounds: int | None = None  # fewer than the others, where one takes very long


def run(contender: Contender) -> Run:
    """Run once; memory is what the kernel says of the finished process, or what it and its children had together in a sample."""
    contender.clean()
    start = time.perf_counter()
    process = subprocess.Popen(contender.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT)
    with _Watched(process.pid) as tree:
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status) != 0:
        errors = process.stderr.read().decode() if process.stderr else ""
        sys.exit(f"{contender.name} failed: {errors}")
    if process.stderr:
        process.stderr.close()
    return Run(seconds, max(_megabytes(usage), tree.megabytes), usage.ru_utime + usage.ru_stime)


class _Watched:
    """Adds up, now and then, what a process and all below it have in memory; for a lone process the kernel knows better."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.megabytes = 0.0

    def __enter__(self) -> Self:
        if sys.platform == "linux":
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.megabytes = max(self.megabytes, sum(map(_resident, _tree(self._process))))


def _tree(process: int) -> Iterator[int]:
    yield process
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # it has ended
            for child in task.read_text().split():
                yield from _tree(int(child))


def _resident(process: int) -> float:
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / (1 << 20)
    return 0.0


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def interleaved(contenders: Sequence[Contender], rounds: int, warm: int) -> dict[str, list[Run]]:
    """Run all contenders in turn, `rounds` times after `warm` uncounted ones."""
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for number in range(warm + rounds):
        for contender in contenders:
            if contender.rounds is not None and not warm <= number < warm + contender.rounds:
                continue
            finished = run(contender)
            if number >= warm:
                runs[contender.name].append(finished)
    return runs


def table(title: str, runs: dict[str, list[Run]], peer: str) -> str:
    """A Markdown table: median seconds, median of the ratios to `peer` with its quartiles, median peak memory."""
    lines = [f"### {title}", "", f"| | seconds | × {peer} (quartiles) | peak MB |", "|---|---|---|---|"]
    for name, finished in runs.items():
        ratios = sorted(a.seconds / b.seconds for a, b in zip(finished, runs[peer], strict=False))
        low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
        seconds = statistics.median(r.seconds for r in finished)
        memory = statistics.median(r.megabytes for r in finished)
        lines.append(
            f"| {name} | {seconds:.3f} | {statistics.median(ratios):.2f} ({low:.2f}-{high:.2f}) | {memory:.0f} |"
        )
    return "\n".join([*lines, ""])
