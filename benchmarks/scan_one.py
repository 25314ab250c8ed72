"""One scanner over a folder of files, each in a fork of its own under limits: what it says, and how it ends.

python scan_one.py TOOL FOLDER HONEST: for each file a line of JSON, [name, verdict]; verdicts are found, clean, error, hang, crash.
The scanner is used on an honest file before, so that what it imports and reads late is there for all.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

SECONDS = 5  # of the processor, for one file
WALL = 60  # seconds of any kind, for one file
MEMORY = 2 << 30  # bytes of data beyond what the tool itself takes
FOUND, CLEAN, ERROR = 1, 0, 2


def ckptlint() -> Callable[[Path], int]:
    import io

    from ckptlint.cli import main

    def scan(path: Path) -> int:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return min(main(["scan", str(path)]), 1)  # 3, which is "not to be vouched for", is no pass

    return scan


def torch() -> Callable[[Path], int]:
    import torch

    def scan(path: Path) -> int:
        if path.is_dir():
            raise ValueError
        try:
            torch.load(path, weights_only=True)
        except Exception:  # noqa: BLE001  whatever it raises is a refusal
            return FOUND
        return CLEAN

    return scan


def picklescan() -> Callable[[Path], int]:
    from picklescan.scanner import scan_directory_path, scan_file_path

    def scan(path: Path) -> int:
        result = scan_directory_path(str(path)) if path.is_dir() else scan_file_path(str(path))
        if result.infected_files:
            return FOUND
        return ERROR if result.scan_err else CLEAN

    return scan


def fickling() -> Callable[[Path], int]:
    from fickling.loader import scan_file, scan_zip_archive

    def one(path: Path) -> bool:
        if path.read_bytes()[:4] != b"PK\3\4":
            return bool(scan_file(str(path)).is_safe)
        inside = scan_zip_archive(str(path))
        return all(result.is_safe for result in inside.values())

    def scan(path: Path) -> int:
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        return CLEAN if all(map(one, files)) else FOUND

    return scan


def modelscan() -> Callable[[Path], int]:
    from modelscan.modelscan import ModelScan

    def scan(path: Path) -> int:
        said = ModelScan().scan(path)
        if said["summary"]["total_issues"]:
            return FOUND
        return ERROR if said["errors"] or not said["summary"]["scanned"]["total_scanned"] else CLEAN

    return scan


def modelaudit() -> Callable[[Path], int]:
    from modelaudit.core import scan_model_directory_or_file

    def scan(path: Path) -> int:
        result = scan_model_directory_or_file(str(path))
        if any(issue.severity.value in ("warning", "critical") for issue in result.issues):
            return FOUND
        return CLEAN if result.files_scanned else ERROR

    return scan


TOOLS = {tool.__name__: tool for tool in (ckptlint, torch, picklescan, fickling, modelscan, modelaudit)}


def judge(scan: Callable[[Path], int], path: Path) -> str:
    """Run it on one file in a fork."""
    child = os.fork()
    if child == 0:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(WALL)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        warnings.simplefilter("ignore")
        try:
            code = scan(path)
        except BaseException:  # noqa: BLE001  a scanner that raises has not finished
            code = ERROR
        os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "hang" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL) else "crash"
    return {FOUND: "found", CLEAN: "clean"}.get(os.WEXITSTATUS(status), "error")


def main() -> None:
    scan = TOOLS[sys.argv[1]]()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        scan(Path(sys.argv[3]))
    print(json.dumps(["ready", ""]), flush=True)
    for case in sorted(Path(sys.argv[2]).iterdir()):
        print(json.dumps([case.name, judge(scan, subject(case))]), flush=True)


def subject(case: Path) -> Path:
    """The file of a case; the folder where the case is one."""
    files = [path for path in case.rglob("*") if path.is_file()]
    return files[0] if len(files) == 1 else case


if __name__ == "__main__":
    main()
