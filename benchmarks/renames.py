"""How many renamed attributes are found in the syntax of two versions of a class, and how many of those are right.

    python benchmarks/renames.py CLONES

CLONES is a folder of clones with their history, each in OWNER/NAME, OWNER+NAME or OWNER+NAME/repo. `renames.jsonl` names public commits in
which a class lost and gained attributes, what was renamed to what there by the reading of one person, and which attributes have no keys,
which `make` knows from the lock. The part `held-out` was read after everything was tuned on the other. Classes that are no modules, and
those that were rewritten as a whole, are left out.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from ckptlint.engine.registrations import Registered, registered
from ckptlint.engine.renamed_attributes import renamed

_LABELS = Path(__file__).with_name("renames.jsonl")


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("clones", type=Path)
    reader.add_argument("--wrong", action="store_true", help="also print what is wrong or missed")
    given = reader.parse_args()
    warnings.simplefilter("ignore")  # what the sources' own escapes are warned of
    counts: Counter[tuple[str, str]] = Counter()
    for line in _LABELS.read_text(encoding="utf-8").splitlines():
        label = json.loads(line)
        clone = _clone(given.clones, label["repo"])
        if clone is None:
            counts[label["part"], "absent"] += 1
            continue
        _judge(label, clone, counts, told=given.wrong)
    for part in ("tuned", "held-out"):
        print(_row(part, counts))
    return 0


def _judge(label: dict[str, Any], clone: Path, counts: Counter[tuple[str, str]], *, told: bool) -> None:
    part, name = str(label["part"]), str(label["class"])
    wanted, without = dict(label["renamed"]), frozenset(label["without_keys"])
    before, after = (_classes(clone, f"{label['commit']}{side}:{label['path']}") for side in ("^", ""))
    found = list(renamed({name: before[name]}, after, lambda each: not each.free and each.name not in without))
    counts[part, "classes"] += 1
    counts[part, "renamed"] += len(wanted)
    for each in found:
        right = wanted.get(each.old) == each.new
        counts[part, f"{'certain' if each.certain else 'likely'} {'right' if right else 'wrong'}"] += 1
        if told and not right:
            print(
                f"wrong: {label['repo']} {str(label['commit'])[:9]} {name}: {each.old} -> {each.new}", file=sys.stderr
            )
    for old in wanted.keys() - {each.old for each in found} if told else ():
        print(f"missed: {label['repo']} {str(label['commit'])[:9]} {name}: {old} -> {wanted[old]}", file=sys.stderr)


def _clone(folder: Path, repo: str) -> Path | None:
    flat = repo.replace("/", "+")
    return next((each for each in (folder / repo, folder / flat / "repo", folder / flat) if each.is_dir()), None)


def _classes(clone: Path, blob: str) -> dict[str, Registered]:
    done = subprocess.run(["git", "-C", str(clone), "show", blob], capture_output=True, check=True)
    return registered(ast.parse(done.stdout))


def _row(part: str, counts: Counter[tuple[str, str]]) -> str:
    said = {name: counts[part, name] for name in ("classes", "renamed", "absent")}
    certain, likely = ([counts[part, f"{kind} {how}"] for how in ("right", "wrong")] for kind in ("certain", "likely"))
    both = [sum(pair) for pair in zip(certain, likely, strict=True)]
    parts = [f"{part}: {said['classes']} classes, {said['renamed']} renamed attributes"]
    for name, (right, wrong) in (("T1", certain), ("T1 and T2", both)):
        precision, recall = right / max(right + wrong, 1), right / max(said["renamed"], 1)
        parts.append(f"{name} precision {precision:.3f} ({right}/{right + wrong}), recall {recall:.3f}")
    return "; ".join(parts) + (f"; {said['absent']} classes of absent clones" if said["absent"] else "")


if __name__ == "__main__":
    sys.exit(main())
