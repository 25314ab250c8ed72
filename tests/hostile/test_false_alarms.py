"""Honest files raise no alarm: hundreds that are generated, what torch itself writes, and the real ones."""

import gzip
import os
from pathlib import Path

import pytest
from fuzz import seeds
from hostile.assemble import dump
from hostile.containers import CONTAINERS, legacy

from ckptlint.core.finding import Severity
from ckptlint.core.selection import Selection
from ckptlint.documents.rules import load_rules
from ckptlint.engine.lint import LintOptions, lint
from ckptlint.engine.verdict import Level, verdict
from ckptlint.formats.scanning.survey import survey

CORPUS = Path(os.environ.get("CKPTLINT_CORPORA", Path(__file__).parents[2] / "../shared/corpora")) / "metatrain"
RULES = load_rules()
HONEST = [name for name in CONTAINERS if name != "tar"]  # the oldest format describes tensors apart from the pickle
ALARMS = (Level.DANGEROUS, Level.UNREADABLE)


def judged(path: Path):
    found, checkpoint = survey(path)
    report = lint(checkpoint, None, RULES, LintOptions(str(path), selection=Selection(select=("CKC",))))
    errors = [f"{finding.rule} {finding.message}" for finding in report.findings if finding.severity is Severity.ERROR]
    return verdict(report, found).level, errors


def _made(container: str, pickle: bytes) -> bytes:
    if container == "legacy":
        return legacy(pickle, keys=("0",) if b"storage" in pickle else ())
    return CONTAINERS[container](pickle)


def test_hundreds_of_generated_files(tmp_path):
    files = {
        f"{container}-{protocol}-{number}": _made(container, dump(tree, protocol))
        for number, tree in enumerate(seeds.trees())
        for protocol in range(6)
        for container in HONEST
    }
    files |= {f"safetensors-{number}": content for number, content in enumerate(seeds.safetensors())}
    assert len(files) >= 500
    alarms = {}
    for name, content in files.items():
        (tmp_path / "model.pt").write_bytes(content)
        level, errors = judged(tmp_path / "model.pt")
        if level in ALARMS:
            alarms[name] = errors
    assert alarms == {}


@pytest.mark.filterwarnings("ignore")
def test_what_torch_writes(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.LSTM(4, 4))
    adam = torch.optim.AdamW(net.parameters())
    things = [
        net.state_dict(),
        {"model": net.state_dict(), "optimizer": adam.state_dict(), "rng": torch.get_rng_state()},
        net,
        torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2)).state_dict(),
        torch.eye(3).to_sparse(),
        [torch.zeros(3, dtype=dtype) for dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.complex64, torch.bool)],
        torch.zeros(8)[2:5],
        torch.zeros(3).expand(5, 3),
        torch.zeros(2, device="meta"),
        torch.nn.Parameter(torch.ones(2)),
    ]
    alarms = {}
    for number, thing in enumerate(things):
        for options in ({}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}, {"pickle_protocol": 5}):
            torch.save(thing, tmp_path / "model.pt", **options)
            level, errors = judged(tmp_path / "model.pt")
            if level in ALARMS:
                alarms[number, str(options)] = errors
    assert alarms == {}


@pytest.mark.skipif(not CORPUS.exists(), reason=f"the corpus is not at {CORPUS}")
def test_real_checkpoints(tmp_path):
    alarms = {}
    for packed in sorted(CORPUS.glob("*.ckpt.gz")):
        (tmp_path / "model.ckpt").write_bytes(gzip.decompress(packed.read_bytes()))
        for path in (packed, tmp_path / "model.ckpt"):
            level, errors = judged(path)
            if level is not Level.TRUST:
                alarms[str(path)] = (level, errors)
    assert alarms == {}
