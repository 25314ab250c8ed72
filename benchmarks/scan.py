"""Scanners side by side on the hostile corpus of the tests and on honest files: who finds, who misses, who fails, who cries wolf.

python benchmarks/scan.py                 # pip installs picklescan, fickling, modelscan and modelaudit into an environment of their own
python benchmarks/scan.py --peers FOLDER  # keep that environment there, or use the one that is there
Nothing that a peer reports about itself leaves the machine: their telemetry is switched off.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import venv
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fuzz import seeds  # noqa: E402
from hostile.assemble import dump  # noqa: E402
from hostile.containers import CONTAINERS  # noqa: E402
from hostile.evasions import EVASIONS  # noqa: E402
from hostile.payloads import PATHS  # noqa: E402
from hostile.rows import attacks  # noqa: E402

PEERS = ("picklescan", "fickling", "modelscan", "modelaudit")
QUIET = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
TITLES = {"ckptlint": "ckptlint scan", "torch": "torch.load(weights_only=True)"}
VERDICTS = ("found", "clean", "error", "hang", "crash")
HONEST = ("zip", "bare", "nested")


def corpus(folder: Path) -> list[str]:
    """Write the files, a folder a case; return the groups."""
    groups: dict[str, dict[str, bytes | dict[str, bytes]]] = {
        "code": {
            f"{path} {container}": make(payload("/nowhere/marker", 2))
            for path, payload in PATHS.items()
            for container, make in CONTAINERS.items()
        },
        "hidden": {name: {file: content} for name, (file, content) in EVASIONS.items()},
        "form": {name: attack.files for name, attack in attacks().items()},
        "honest": {
            f"{container} {protocol} {number}": CONTAINERS[container](dump(tree, protocol))
            for number, tree in enumerate(seeds.trees())
            for protocol in (2, 3, 4, 5)
            for container in HONEST
        },
    }
    for group, cases in groups.items():
        for number, content in enumerate(cases.values()):
            files = content if isinstance(content, dict) else {"model.pt": content}
            for name, data in files.items():
                path = folder / group / f"{number:04}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    return list(groups)


def environment(folder: Path) -> Path:
    """Make an environment with the peers in it, unless there is one."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PEERS, "numpy", "typing_extensions"], check=True)
    return python


def versions(python: Path) -> str:
    asked = f"from importlib.metadata import version; print(', '.join(p + ' ' + version(p) for p in {PEERS!r}))"
    return subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def verdicts(tool: str, python: Path, folder: Path, home: Path) -> Counter[str]:
    """Count what a tool says of the files; what it did not get to, because it ended, it crashed on."""
    command = [str(python), str(Path(__file__).parent / "scan_one.py"), tool, str(folder), str(home / "honest.pt")]
    known = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(home), **QUIET}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=known, cwd=home)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    if not lines:
        raise SystemExit(f"{tool} does not start: {done.stderr[-500:]}")
    said = dict(lines[1:])
    return Counter(said.get(case.name, "crash") for case in folder.iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--groups", nargs="*", help="code hidden form honest")
    parser.add_argument("--tools", nargs="*", default=[*TITLES, *PEERS], help=" ".join([*TITLES, *PEERS]))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        groups = corpus(folder / "corpus")
        peers = environment((given.peers or folder / "venv").absolute())
        (folder / "home").mkdir()
        (folder / "home" / "honest.pt").write_bytes(CONTAINERS["zip"](dump(seeds.trees()[0])))
        print(f"{versions(peers)}; Python {platform.python_version()}", flush=True)
        for group in given.groups or groups:
            total = sum(1 for _ in (folder / "corpus" / group).iterdir())
            print(f"\n### {group}: {total} files\n")
            print(f"| | {' | '.join(VERDICTS)} |\n|---|{'---|' * len(VERDICTS)}")
            for tool in given.tools:
                python = Path(sys.executable) if tool in TITLES else peers
                counted = verdicts(tool, python, folder / "corpus" / group, folder / "home")
                row = " | ".join(str(counted[verdict]) for verdict in VERDICTS)
                print(f"| {TITLES.get(tool, tool)} | {row} |", flush=True)


if __name__ == "__main__":
    main()
