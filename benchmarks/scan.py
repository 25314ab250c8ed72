"""Scanners side by side on the hostile corpus of the tests and on honest files: who finds, who misses, who fails, who cries wolf.

python benchmarks/scan.py                # pip installs picklescan, fickling and modelscan into a temporary environment
python benchmarks/scan.py --peers PYTHON # an interpreter that has them
"""

from __future__ import annotations

import argparse
import json
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
from hostile.payloads import PATHS  # noqa: E402
from hostile.rows import attacks  # noqa: E402

PEERS = ("picklescan", "fickling", "modelscan")
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
    """Make a temporary environment with the peers in it."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    packages = [*PEERS, "numpy", "typing_extensions"]
    subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return python


def verdicts(tool: str, python: Path, folder: Path) -> Counter[str]:
    command = [str(python), str(Path(__file__).parent / "scan_one.py"), tool, str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    )
    said: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return Counter(said.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        groups = corpus(folder / "corpus")
        peers = given.peers or environment(folder / "venv")
        tools = [
            ("ckptlint", "ckptlint scan", Path(sys.executable)),
            ("torch", "torch.load(weights_only=True)", Path(sys.executable)),
        ]
        tools += [(tool, tool, peers) for tool in PEERS]
        for group in groups:
            total = sum(1 for _ in (folder / "corpus" / group).iterdir())
            print(f"\n### {group}: {total} files\n")
            print(f"| | {' | '.join(VERDICTS)} |\n|---|{'---|' * len(VERDICTS)}")
            for tool, title, python in tools:
                counted = verdicts(tool, python, folder / "corpus" / group)
                print(f"| {title} | {' | '.join(str(counted[verdict]) for verdict in VERDICTS)} |", flush=True)


if __name__ == "__main__":
    main()
