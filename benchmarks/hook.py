"""The hook's whole process on a project of 100 model files with one staged change: wall time beside that of a bare Python.

    python benchmarks/hook.py            # median and extremes of 21 warm runs, and what is imported

The project is that of `tests/test_hook_classes.py`: a hundred models with a lock each, and a module of blocks that all use, in which
an attribute was renamed; once without settings and once with those that `init` writes. Modules are compiled once, as an installed
package is, whatever the environment says of that.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
RUNS = 21


def timed(command: list[str], folder: str) -> float:
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True)
    return 1000 * (time.perf_counter() - start)


def settings() -> str:
    """What `init` writes for the hundred models."""
    return "".join(f'[models.net{n}]\nfactory = "nets/model{n}.py:Net{n}"\n\n' for n in range(1, 101))


def measured(folder: str, label: str) -> None:
    command = [sys.executable, "-m", "ckptlint", "hook", "nets/blocks.py"]
    timed(command, folder)
    pairs = [(timed(command, folder), timed([sys.executable, "-c", "pass"], folder)) for _ in range(RUNS)]
    hook, bare = zip(*pairs, strict=True)
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"{label}: {statistics.median(hook):.0f} ms (of {RUNS}: {min(hook):.0f} to {max(hook):.0f}); ", end="")
    print(f"python -c pass: {statistics.median(bare):.0f} ms; median of the ratios {ratio:.1f}")


def main() -> None:
    from test_hook_classes import made

    with tempfile.TemporaryDirectory() as folder:
        made(Path(folder))
        blocks = Path(folder) / "nets" / "blocks.py"
        blocks.write_text(blocks.read_text().replace("self.fc =", "self.linear ="))
        measured(folder, "without settings")
        (Path(folder) / "ckptlint.toml").write_text(settings())
        measured(folder, "with settings   ")


if __name__ == "__main__":
    main()
