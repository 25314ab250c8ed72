"""How long the small commands take beside Python's own start and `import torch`: medians of 21 warm runs, and their ratios.

python benchmarks/startup.py [--rounds 21]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from measure import Contender, interleaved, table
from migrate import make


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--megabytes", type=int, default=1500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = make(Path(folder) / "model.pt", given.megabytes)
        lock = Path(folder) / "schema.lock"
        tool = [sys.executable, "-m", "ckptlint"]
        write = Contender("lock", [*tool, "lock", str(checkpoint), "-o", str(lock)])
        interleaved([write], rounds=1, warm=0)
        contenders = [
            Contender("python -c pass", [sys.executable, "-c", "pass"]),
            Contender("python -c 'import torch'", [sys.executable, "-c", "import torch"]),
            Contender("ckptlint --help", [*tool, "--help"]),
            Contender("ckptlint inspect", [*tool, "inspect", str(checkpoint)]),
            Contender("ckptlint lint --lock", [*tool, "lint", str(checkpoint), "--lock", str(lock)]),
        ]
        print(
            table(
                f"start-up, a checkpoint of {given.megabytes} MB",
                interleaved(contenders, given.rounds, warm=2),
                "python -c pass",
            )
        )


if __name__ == "__main__":
    main()
