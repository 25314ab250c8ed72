"""Runs commands over a folder of hostile files in one process under limits, and watches what the interpreter is asked to do.

`python child.py FOLDER MARKER COMMAND...`: for each case folder one line of JSON: {case: {command: [exit code, rules]}}.
"""

import contextlib
import io
import json
import os
import resource
import signal
import sys
from pathlib import Path

SECONDS = 2  # of the processor, for one command on one file
MEMORY = 256 << 20  # bytes of data: all that the process allocates
FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "subprocess.Popen",
    "socket.",
    "pickle.find_class",
    "ctypes.",
)


class HangError(BaseException):
    """One command took too long."""


def hang(_signal, _frame):
    raise HangError


def main() -> None:
    folder, marker, commands = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    from ckptlint.cli import main as run

    seen = []

    def watch(event, arguments):
        if event.startswith(FORBIDDEN) or (event == "os.mkdir" and str(arguments[0]) == marker):
            seen.append((event, repr(arguments)[:200]))

    for command in commands:  # what is imported late is imported now
        once(run, command, folder / "warm" / "model.pt", folder)
    sys.addaudithook(watch)
    signal.signal(signal.SIGPROF, hang)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    for case in sorted(folder.iterdir()):
        if case.name in ("warm", "out", "keep.yaml"):
            continue
        files = sorted(path for path in case.rglob("*") if path.is_file())
        found = {command: once(run, command, subject(command, case, files), folder) for command in commands}
        sys.stdout.write(json.dumps({case.name: found, "seen": seen[:3]}) + "\n")
        sys.stdout.flush()
        seen.clear()


def subject(command: str, case: Path, files: list[Path]) -> Path:
    if command == "scan" or (len(files) > 1 and files[0].parent != case):
        return case if command == "scan" else files[0].parent
    return next((path for path in files if path.name.endswith(".index.json")), files[0])


def once(run, command: str, path: Path, folder: Path) -> list:
    arguments = [command, str(path)]
    if command in ("scan", "lint"):
        arguments += ["--format", "json"]
    if command == "migrate":
        arguments += ["-m", str(folder / "keep.yaml"), "-o", str(folder / "out" / "new.pt"), "--force"]
    out, errors = io.StringIO(), io.StringIO()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            code = run(arguments)
    except HangError:
        return ["hang", []]
    except Exception as error:  # noqa: BLE001  the command line would exit with 70
        return [f"escaped: {type(error).__name__}: {error}"[:300], []]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    rules = (
        sorted({finding["rule"] for finding in json.loads(out.getvalue())["findings"]})
        if command == "scan" and out.getvalue()
        else []
    )
    return [code, rules]


if __name__ == "__main__":
    main()
    os._exit(0)
