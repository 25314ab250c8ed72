"""Run all benchmarks; print Markdown for `benchmarks/README.md`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

for name in ("startup.py", "header.py", "lint.py", "plan.py", "migrate.py"):
    subprocess.run([sys.executable, Path(__file__).parent / name, *sys.argv[1:]], check=True)
