"""Run one build in a fresh interpreter: a time limit for the whole process group, a reply over files, never over stdout."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ckptlint.errors import ModelError, UsageError

_CHILD = Path(__file__).parent / "child" / "__main__.py"
_GRACE = 2.0  # seconds for the child to write where it stood before its group is killed
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)$')
_LIBRARIES = (
    f"{os.sep}site-packages{os.sep}",
    f"{os.sep}dist-packages{os.sep}",
    str(Path(os.__file__).parent),
    str(_CHILD.parent),
)


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where and under which limits the user's code runs. `memory` is in bytes: None is half of what the machine has."""

    python: str = sys.executable
    cwd: Path = field(default_factory=Path.cwd)
    memory: int | None = None

    @property
    def allowed(self) -> int:
        return self.memory if self.memory is not None else _half_of_memory()


@dataclass(frozen=True, slots=True)
class Request:
    """What the child is asked for: the fields are the JSON it reads."""

    place: str
    names: tuple[str, ...]
    positional: tuple[object, ...]
    keywords: dict[str, object]
    device: str
    memory: int
    seconds: float  # left for this build
    timeout: float  # what the user allowed for all, for the message
    seed: int | None = None  # of torch's random numbers, before the model is built
    keys: tuple[str, ...] = ()  # whose values are written ...
    values: str = ""  # ... into this folder
    witness: Mapping[str, object] | None = None  # what to load and to run, in the place of describing the model


def run(request: Request, workplace: Workplace) -> str:
    """Return the text of the reply.

    Raises:
        ModelError: no reply: the time is over, or the process died.
    """
    with _exchange() as exchange:
        (exchange / "request.json").write_text(json.dumps(asdict(request)), encoding="utf-8")
        code = _wait(workplace, exchange, request.seconds + _GRACE)
        reply = exchange / "reply.json"
        if code == 0 and reply.is_file():
            return reply.read_text(encoding="utf-8", errors="replace")
        raise _death(code, exchange / "stack.txt", request, workplace.cwd)


@contextlib.contextmanager
def _exchange() -> Iterator[Path]:
    """Make a folder for the two files that parent and child pass each other."""
    try:
        with tempfile.TemporaryDirectory(prefix="ckptlint-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        raise ModelError(f"a temporary folder for the build cannot be used: {error}") from error


def _wait(workplace: Workplace, exchange: Path, seconds: float) -> int | None:
    """Return the exit code, None where the time was over. Nothing of the process group outlives the call."""
    try:
        process = subprocess.Popen(  # noqa: S603  running the model that the user names is what is asked for
            [workplace.python, "-P", str(_CHILD), str(exchange)],
            cwd=workplace.cwd,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError(f"the interpreter {workplace.python!r} cannot be started: {error.strerror}") from None
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all gone; macOS answers so for zombies
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _death(code: int | None, stack: Path, request: Request, cwd: Path) -> ModelError:
    text = stack.read_text(encoding="utf-8", errors="replace") if stack.is_file() else ""
    place = _place(text, cwd)
    at = f" at {place}" if place else ""
    if code is None or text.startswith("Timeout"):
        return ModelError(
            f"building it took more than {request.timeout:g} s, and was ended{at}",
            hint="allow more with --timeout, or compare with a committed lock (ckptlint lock)",
        )
    if code == -signal.SIGKILL:
        return ModelError(
            f"building it was killed by the system{at}, most likely for want of memory",
            hint="build it on meta (--device meta), or compare with a committed lock (ckptlint lock)",
        )
    if code < 0:
        return ModelError(f"the process that built it died of {_signal(-code)}{at}")
    return ModelError(f"the process that built it ended with code {code} and no answer{at}; its own words are above")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _place(stack: str, cwd: Path) -> str:
    """Find the user's own line in faulthandler's text: the innermost outside of libraries, in the main thread."""
    threads = [block for block in re.split(r"\n\n|\n(?=(?:Current )?[Tt]hread 0x)", stack) if str(_CHILD) in block]
    frames = [found for line in "".join(threads[-1:]).splitlines() if (found := _FRAME.match(line))]
    own = next((frame for frame in frames if not any(place in frame["file"] for place in _LIBRARIES)), None)
    if own is None or own["file"].startswith("<frozen"):
        return ""
    file = Path(own["file"])
    shown = file.relative_to(cwd) if file.is_relative_to(cwd) else file
    return f"{shown}:{own['line']} in {own['function']}"


def _half_of_memory() -> int:
    if not hasattr(os, "sysconf"):  # Windows, which has no limit to set either
        return 1 << 62
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
