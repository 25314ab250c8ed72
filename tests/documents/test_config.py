"""Settings: the nearest file decides, every mistake has its line, no file is no cost."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest

from ckptlint.core.finding import Severity
from ckptlint.core.selection import Ignore
from ckptlint.documents.config import Accepted, Config, Model, find_config, read_config
from ckptlint.errors import DocumentError

FULL = """\
[project]
name = "x"

[tool.ckptlint]
schema = 1
select = ["CKK", "CKC1"]
extend-select = ["missing-key"]
fail-on = "warning"
rules = ["lint/rules"]
severity = { CKK301 = "error", CKC = "off" }

[tool.ckptlint.models.detector]
factory = "det.models:build"
args = { depth = 50, widths = [1, 2] }
lock = "ckpt/detector.lock"
checkpoints = ["tests/*.pt"]
sources = ["src/det/**/*.py"]

[[tool.ckptlint.ignore]]
code = "CKK101"
keys = ["teacher.**", "ema.**"]
model = "detector"
reason = "the teacher is training-only"
until = 2027-01-31
"""
PYPROJECT = Path("pyproject.toml")
CKPTLINT = Path("ckptlint.toml")


def test_everything_a_file_may_say():
    ignores = [Ignore("CKK101", "the teacher is training-only", keys) for keys in ("teacher.**", "ema.**")]
    assert read_config(FULL, PYPROJECT) == Config(
        origin="pyproject.toml",
        folder=Path(),
        select=("CKK", "CKC1"),
        extend=("missing-key",),
        severity={"CKK301": Severity.ERROR, "CKC": None},
        fail_on=Severity.WARNING,
        rules=("lint/rules",),
        models={
            "detector": Model(
                "detector",
                factory="det.models:build",
                args={"depth": 50, "widths": [1, 2]},
                lock="ckpt/detector.lock",
                checkpoints=("tests/*.pt",),
                sources=("src/det/**/*.py",),
            )
        },
        accepted=tuple(Accepted(ignore, "detector", "2027-01-31") for ignore in ignores),
    )


def test_an_ignore_holds_for_its_model_until_its_day():
    config = read_config(FULL, PYPROJECT)
    assert len(config.selection("detector", date(2027, 1, 31)).ignores) == 2
    assert config.selection("detector", date(2027, 2, 1)).ignores == ()
    assert config.selection("other", date(2026, 1, 1)).ignores == ()


def test_a_revision_is_no_day():
    config = read_config('ignore = [{code = "CKK1", reason = "r", until = "0012"}]', CKPTLINT)
    assert config.selection().ignores == (Ignore("CKK1", "r"),)


def test_a_rule_that_is_not_wanted_is_ignored_by_its_code_alone():
    config = read_config('ignore = ["CKK5", "missing-key"]', CKPTLINT)
    assert config.selection().ignore == ("CKK5", "missing-key")


MISTAKES = {
    'selekt = ["CK"]': (
        "ckptlint.toml:1:1",
        "unknown key 'selekt'\n  hint: did you mean 'select'? There are schema, select, ",
    ),
    "\nschema = 2": ("ckptlint.toml:2:1: schema", "this version of ckptlint reads schema 1"),
    'select = "CK"': ("ckptlint.toml:1:1: select", "should be a list, not text 'CK'"),
    'select = ["CK", "X1!"]': ("ckptlint.toml:1:1: select[1]", "'X1!' is no rule"),
    'fail-on = "errors"': ("ckptlint.toml:1:1: fail-on", "'errors' is not one of info, warning, error, never"),
    '[severity]\nCKK1 = "on"': ("ckptlint.toml:2:1: severity.CKK1", "'on' is not one of info, warning, error, off"),
    "[models.a]\n": ("ckptlint.toml:1:1: models.a", "needs `factory` or `lock`"),
    '[models.a]\nlock = "l"\nargs = [1]': ("ckptlint.toml:3:1: models.a.args", "should be a mapping, not a list"),
    '[models.a]\nlock = "l"\ndevice = "gpu"': ("ckptlint.toml:3:1: models.a.device", "'gpu' is not one of meta, cpu, auto"),
    '[[ignore]]\ncode = "CKK1"\nreason = "x"\n[[ignore]]\ncode = "CKK1"': ("ckptlint.toml:4:1: ignore[1]", "needs a reason"),
    '[[ignore]]\ncode = "CKK1"\nreason = " "': ("ckptlint.toml:1:1: ignore[0]", "needs a reason"),
    '[[ignore]]\nreason = "x"': ("ckptlint.toml:1:1: ignore[0]", "lacks 'code'"),
    '[[ignore]]\ncode = "CKK1"\nreason = "x"\nuntil = "soon"': ("ckptlint.toml:4:1: ignore[0].until", "'soon' is neither a date nor a revision"),
    'dir = "ckpt"': ("ckptlint.toml:1:1: dir", "is not supported by this version of ckptlint"),
    'level = "strictest"': ("ckptlint.toml:1:1: level", "'strictest' is not one of exact, strict, migratable, loose"),
    '[models.m]\nfactory = "m:M"\nvariants = [{depth = 1}]': ("ckptlint.toml:3:1: models.m.variants", "needs a name for each variant, by which the lock knows it"),
    "schema = 0x" + "f" * 5000: ("ckptlint.toml:1:1: schema", "'9223372036854775808' is too large an integer"),
    "a = ": ("ckptlint.toml", "is not TOML: Invalid value (at end of document)"),
    "a = " + "[" * 10_000: ("ckptlint.toml", "is not TOML: nested too deep"),
    "a = " + "9" * 5000: ("ckptlint.toml", "is not TOML: Exceeds the limit"),
}  # fmt: skip


@pytest.mark.parametrize("document", MISTAKES, ids=lambda text: text[:30])
def test_a_mistake_has_its_line_and_path(document):
    with pytest.raises(DocumentError) as caught:
        read_config(document, CKPTLINT)
    place, message = MISTAKES[document]
    assert str(caught.value).startswith(f"{place}: {message}")


def test_keys_of_an_ignore_are_a_selector():
    with pytest.raises(DocumentError, match="keys"):
        read_config('ignore = [{code = "CKK1", reason = "r", keys = "a.{b"}]', CKPTLINT)


def test_bytes_that_are_no_text():
    with pytest.raises(DocumentError, match="is not UTF-8: byte 0"):
        read_config(b"\xff", CKPTLINT)


def test_the_nearest_file_decides_alone(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.ckptlint]\nselect = ["CKC"]\nfail-on = "never"')
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\n")
    assert find_config(inner).select == ("CKC",)
    (tmp_path / "a" / "ckptlint.toml").write_text('select = ["CKK"]')
    config = find_config(inner)
    assert (config.select, config.fail_on, config.folder) == (("CKK",), Severity.ERROR, tmp_path / "a")


def test_no_file_is_the_defaults(tmp_path):
    assert find_config(tmp_path) == Config("", tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "[tool.ckptlint.models.a]\nlock='x'",
        "[tool]\nckptlint.rules=['r']",
        "tool.ckptlint = {rules = ['r']}",
        "[ tool . ckptlint ]\n",
    ],
)
def test_the_section_is_found_however_it_is_written(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    assert find_config(tmp_path).origin == str(tmp_path / "pyproject.toml")


def test_toml_is_not_parsed_for_nothing(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["ckptlint"]\n')
    code = "import sys; from pathlib import Path; from ckptlint.documents.config import find_config; find_config(Path()); print('tomllib' in sys.modules)"
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "False\n"


@pytest.mark.parametrize("seed", range(4))
def test_mutations_give_settings_or_document_errors(seed):
    chance = random.Random(seed)
    for _ in range(300):
        document = bytearray(FULL.encode())
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(document))
            document[place : place + chance.choice((0, 1, 8))] = chance.choice(
                (b"[", b"]", b"=", b'"', b"\0", b"\xff", b"\n", b"{}", b"1", b".", b"nan", b"2001-01-01")
            )
        with suppress(DocumentError):
            read_config(bytes(document), PYPROJECT).selection("detector")
