"""Attacks that were written without sight of the scanner are named, and their honest neighbours are not."""

import json
import struct

import pytest
from hostile.second_look import ATTACKS
from hostile.second_look_parts import call, legacy, named, put, safetensors, tarred, text, whole
from hostile.test_false_alarms import RULES, judged

from ckptlint.core.selection import Selection
from ckptlint.engine.lint import LintOptions, lint
from ckptlint.engine.verdict import Level
from ckptlint.formats.scanning.survey import files, survey


def found_in(path):
    """The codes of all files below a path."""
    options = LintOptions("", selection=Selection(select=("CKC",)))
    paths = list(files(path)) if path.is_dir() else [path]
    return {finding.rule for file in paths for finding in lint(survey(file)[1], None, RULES, options).findings}


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_is_named_and_none_runs(tmp_path, name):
    marker = tmp_path / "m"
    (tmp_path / "f").mkdir()
    path = ATTACKS[name].build(tmp_path / "f", str(marker))
    assert found_in(path) & ATTACKS[name].codes
    assert not marker.exists()


TENSOR_OF_OLD = legacy(3, whole(b"}", 2))
HONEST = {
    "storage in a pickle": ("a.pkl", whole(call("torch.storage", "_load_from_bytes", b"B" + struct.pack("<I", len(TENSOR_OF_OLD)) + TENSOR_OF_OLD))),
    "old name of UserDict": ("a.pkl", whole(named("UserDict", "IterableUserDict") + b")\x81}b", 2)),
    "log format": ("a.pkl", whole(named("logging", "Formatter") + b")\x81}b")),
    "sum": ("a.pkl", whole(call("functools", "partial", named("_operator", "add"), b"K\x01"))),
    "time zone": ("a.pkl", whole(call("zoneinfo", "ZoneInfo._unpickle", text("UTC"), b"K\x01"))),
    "tokenizer": ("a.pkl", whole(named("nltk.tokenize.punkt", "PunktParameters") + b")\x81}b")),
    "held functions": ("a.pkl", whole(call("functools", "partial", named("torch.nn.functional", "mse_loss")))),
    "tar of words": ("a.tar", tarred(("cosine/system", b"the\ncos\nsystem\n"), ("mnist/x", b"1"))),
    "harmless tags": ("a.yaml", b"a: !!python/object/apply:pathlib.PosixPath [x]\nb: !!python/name:torch.nn.ReLU\nc: !!python/tuple [1]\n"),
    "template": ("tokenizer_config.json", json.dumps({"chat_template": "{% for m in messages %}{{ m['content'] | trim }}{% endfor %}"}).encode()),
    "empty tensors": ("a.safetensors", safetensors(b"{}      ", b"")),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_no_honest_neighbour_is_called_dangerous(tmp_path, name):
    level, errors = judged(put(tmp_path, *HONEST[name]))
    assert level not in (Level.DANGEROUS, Level.UNREADABLE), errors
