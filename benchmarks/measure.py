"""Time commands as whole processes, in turn, and compare them pair by pair.

These machines are shared and noisy: what is quoted is the median of the ratios of interleaved pairs, with its spread, never a lone time.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


def run(contender: Contender) -> Run:
    """Run once; the kernel's own accounting of the finished process gives the memory."""
    contender.clean()
    start = time.perf_counter()
    process = subprocess.Popen(contender.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status) != 0:
        errors = process.stderr.read().decode() if process.stderr else ""
        sys.exit(f"{contender.name} failed: {errors}")
    if process.stderr:
        process.stderr.close()
    return Run(seconds, _megabytes(usage), usage.ru_utime + usage.ru_stime)


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def interleaved(contenders: Sequence[Contender], rounds: int, warm: int) -> dict[str, list[Run]]:
    """Run all contenders in turn, `rounds` times after `warm` uncounted ones."""
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for number in range(warm + rounds):
        for contender in contenders:
            finished = run(contender)
            if number >= warm:
                runs[contender.name].append(finished)
    return runs


def table(title: str, runs: dict[str, list[Run]], peer: str) -> str:
    """A Markdown table: median seconds, median of the ratios to `peer` with its quartiles, median peak memory."""
    lines = [f"### {title}", "", f"| | seconds | × {peer} (quartiles) | peak MB |", "|---|---|---|---|"]
    for name, finished in runs.items():
        ratios = sorted(a.seconds / b.seconds for a, b in zip(finished, runs[peer], strict=True))
        low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
        seconds = statistics.median(r.seconds for r in finished)
        memory = statistics.median(r.megabytes for r in finished)
        lines.append(
            f"| {name} | {seconds:.3f} | {statistics.median(ratios):.2f} ({low:.2f}-{high:.2f}) | {memory:.0f} |"
        )
    return "\n".join([*lines, ""])
