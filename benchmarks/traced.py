"""What the kernel sees of ckptlint over the hostile corpus of the tests: no program started, no network, no file written but outputs.

python benchmarks/traced.py   # needs strace; Linux
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]

from hostile.assemble import dump  # noqa: E402
from hostile.containers import torch_zip  # noqa: E402
from hostile.payloads import W  # noqa: E402
from scan import corpus  # noqa: E402

COMMANDS = ("scan", "lint", "inspect", "migrate")
CALL = re.compile(r"^\d+ +(?:[\d.]+ )?(\w+)\((.*)$")
PATH = re.compile(r'"([^"]*)"')
WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")
PROBE = re.compile(
    rf"{re.escape(tempfile.gettempdir())}/\w{{8}}$"
)  # Python tries where temporary files can be, and unlinks it
NETWORK = ("socket", "connect", "bind", "sendto", "sendmsg", "accept", "accept4", "listen", "socketpair")
PROGRAMS = ("execve", "execveat")
CHANGES = (
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "link",
    "linkat",
    "symlink",
)
CHANGES += ("symlinkat", "chmod", "fchmodat", "chown", "truncate", "mknod", "mknodat")


def judged(trace: Path, outputs: str) -> tuple[Counter[str], list[str]]:
    """Count the calls by kind, and list those that should not be."""
    counted: Counter[str] = Counter()
    wrong: list[str] = []
    for line in trace.read_text(errors="replace").splitlines():
        found = CALL.match(line)
        if found is None:
            continue
        name, rest = found.groups()
        paths = PATH.findall(rest)
        inside = bool(paths) and all(path.startswith(outputs) for path in paths)
        temporary = "O_TMPFILE" in rest or paths[:1] == ["/dev/null"] or all(map(PROBE.match, paths))
        if name in PROGRAMS:
            counted["programs started"] += 1
            if counted["programs started"] > 1:  # the first is Python itself
                wrong.append(line)
        elif name in NETWORK:
            counted["network calls"] += 1
            wrong.append(line)
        elif name in CHANGES or (name in ("open", "openat", "creat") and WRITES.search(rest)):
            counted[
                "written below the output folder"
                if inside
                else "temporary files without a name"
                if temporary
                else "other"
            ] += 1
            if not (inside or temporary):
                wrong.append(line)
    return counted, wrong


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        groups = corpus(folder / "corpus")
        cases = folder / "cases"
        for group in groups:
            for case in (folder / "corpus" / group).iterdir():
                case.rename(cases.mkdir(exist_ok=True) or cases / f"{group}-{case.name}")
        total = sum(1 for _ in cases.iterdir())
        (cases / "warm").mkdir()
        (cases / "out").mkdir()
        (cases / "warm" / "model.pt").write_bytes(torch_zip(dump({"w": W})))
        (cases / "keep.yaml").write_text("ckptlint: 1\nsummary: s\nrewrites:\n- keep: '**'\n")
        trace = folder / "trace"
        child = [sys.executable, str(ROOT / "tests/hostile/child.py"), str(cases), "/nowhere/marker", *COMMANDS]
        wanted = ",".join((*PROGRAMS, *NETWORK, *CHANGES, "open", "openat", "creat"))
        command = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(trace), "-e", f"trace={wanted}", *child]
        known = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, env=known, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-1000:])
        counted, wrong = judged(trace, str(cases / "out"))
        answers = done.stdout.count("\n")
    print(f"{total} cases, {answers} answered to each of {', '.join(COMMANDS)}")
    for kind, number in sorted(counted.items()):
        print(f"- {kind}: {number}")
    print(*wrong[:20], f"wrong: {len(wrong)}", sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
