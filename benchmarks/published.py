"""ckptlint over the files that other scanners test themselves with: a miss is an attack that passes, an alarm a harmless file that fails.

python benchmarks/published.py FOLDER...  # picklescan/tests, modelaudit/tests/assets, what modelscan's and fickling's tests write

The truth is in the names that their authors gave: what matches HARMLESS is harmless, what matches ATTACK is an attack. What matches OTHER
is neither (texts, notices, what no loader opens; of the two parts of a TensorFlow folder modelscan attacks one), and is only counted.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from ckptlint.core.selection import Selection
from ckptlint.documents.rules import load_rules
from ckptlint.engine.lint import LintOptions, lint
from ckptlint.engine.verdict import Level, verdict
from ckptlint.errors import CkptlintError
from ckptlint.formats.scanning.survey import survey

HARMLESS = re.compile(
    r"^(benign|safe|simple_|int_array|object_array|new_pytorch_model|pytorch_model\.bin|mit_model|mixed_model|model_weights|embeddings)"
    r"|(^|/)(license_scenarios|benign|saved_model_safe|safe_savedmodel)/|-LIKELY_SAFE|^agpl_model"
)
OTHER = re.compile(
    r"\.(py|pyc|md|csv|json|j2|jinja|template|yaml|index|txt)$|^LICENSE|fingerprint\.pb$|_injection|(keras0/saved_model_unsafe/saved_model|tensorflow0/saved_model_unsafe/keras_metadata)\.pb$|variables\.data|\.safetensors$|\.skops$"
    r"|^(bad_pytorch\.pt|not_a_pickle\.bin)$"
)
ATTACK = re.compile(
    r"malicious|exploit|attack|unsafe|evil|GHSA|-(OVERTLY|LIKELY_OVERTLY)_MALICIOUS|exec|decode_|sploit|bypass|_injection|exfiltration"
    r"|dill_func|nested_pickle|CodeType|urlopen|FileIO|FileHandler|path_traversal|broken_model|frame_boundary.*-load-|saved_model\.pb"
)


def level(path: Path) -> Level:
    found, checkpoint = survey(path)
    return verdict(
        lint(checkpoint, None, load_rules(), LintOptions(str(path), selection=Selection(select=("CKC",)))), found
    ).level


def kind(folder: Path, path: Path) -> str:
    name, place = path.name, str(path.relative_to(folder))
    if HARMLESS.search(name) or HARMLESS.search(place):
        return "harmless"
    if OTHER.search(place):
        return "other"
    return "attack" if ATTACK.search(place) else "other"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    wrong = []
    for folder in parser.parse_args().folders:
        counted: Counter[tuple[str, str]] = Counter()
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            try:
                said = str(level(path))
            except CkptlintError as error:
                said = type(error).__name__
            truth = kind(folder, path)
            counted[truth, said] += 1
            passed = said in (Level.CLEAN, Level.DATA, Level.TRUST)
            if (truth == "attack" and passed) or (truth == "harmless" and said == Level.DANGEROUS):
                wrong.append(f"{'miss' if passed else 'alarm'}: {path}: {said}")
        told = ", ".join(f"{truth} {said} {number}" for (truth, said), number in sorted(counted.items()))
        print(f"{folder}: {told}", flush=True)
    print(*wrong, f"misses and alarms: {len(wrong)}", sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
