"""`ckptlint hook`: places, formats, what a comment accepts, and files that are no Python."""

import json

import pytest

from ckptlint.cli import main
from ckptlint.documents.code_comments import Accepted, accepted_lines

BAD = "import torch\nµ, x = 1, torch.load('x.pt')\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hook(capsys, *arguments):
    code = main(["hook", *arguments])
    return code, capsys.readouterr().out


def test_lines_and_columns_are_those_of_characters(folder, capsys):
    (folder / "a.py").write_text(BAD, encoding="utf-8")
    code, said = hook(capsys, "a.py")
    assert code == 1
    assert said.splitlines()[0] == (
        "a.py:2:11: warning[CKL102 torch-load-unsafe] this torch.load does not say weights_only=True"
    )
    assert said.splitlines()[-1] == "checked 1 file, 1 finding: 0 errors, 1 warning, 0 infos"


def test_other_encodings_and_line_ends_are_read(folder, capsys):
    (folder / "a.py").write_bytes("# coding: latin-1\r\nimport torch\r\né = torch.load('x')\r\n".encode("latin-1"))
    (folder / "b.py").write_bytes(b"\xef\xbb\xbfimport torch\nx = '\x0c'; torch.load('x')\n")
    (folder / "c.py").write_text("import torch\nx = '\\d'\n", encoding="utf-8")
    code, said = hook(capsys, ".")
    assert code == 1
    assert [line.partition(": ")[0] for line in said.splitlines() if "[CKL" in line] == ["./a.py:3:5", "./b.py:2:10"]


def test_json_and_github(folder, capsys):
    (folder / "a.py").write_text(BAD, encoding="utf-8")
    found = json.loads(hook(capsys, "a.py", "--format", "json")[1])
    assert [(each["rule"], each["path"], each["line"], each["column"]) for each in found["findings"]] == [
        ("CKL102", "a.py", 2, 11)
    ]
    assert found["summary"] == {"files": 1, "findings": 1, "ignored": 0}
    lines = hook(capsys, "a.py", "--format", "github")[1].splitlines()
    assert lines[0].startswith("::warning file=a.py,line=2,title=CKL102 torch-load-unsafe::this torch.load")
    assert lines[1].startswith("::warning title=ckptlint::1 finding: 0 errors, 1 warning")


@pytest.mark.parametrize(
    ("comment", "code"),
    [
        ("# ckptlint: ignore[CKL102] trusted", 0),
        ("# ckptlint: ignore[CKL] trusted", 0),
        ("# noqa  # ckptlint: ignore[CKL102, torch-load-unsafe] trusted", 0),
        ("# ckptlint: ignore[CKL102] until 9999-01-01: trusted", 0),
        ("# ckptlint: ignore[CKL102] until 2020-01-01: trusted", 1),
        ("# ckptlint: ignore[CKL102]", 1),
        ("# ckptlint: ignore[CKL101] another", 1),
        ("# ckptlint: ignore[] nothing", 1),
    ],
)
def test_a_comment_accepts_with_a_reason(folder, capsys, comment, code):
    (folder / "a.py").write_text(f"import torch\ntorch.load(\n    'x',  {comment}\n)\n", encoding="utf-8")
    assert hook(capsys, "a.py")[0] == code


def test_what_only_looks_like_a_comment_accepts_nothing():
    assert accepted_lines("x = '# ckptlint: ignore[CKL1] no'  # ckptlint: ignore[A, B] yes\n") == {
        1: Accepted(("A", "B"), "yes")
    }


@pytest.mark.parametrize(
    "content", [b"torch = (\n", b"torch\0", b"# coding: torch\n", b"# torch \xff\n", b"torch\n" + b"(" * 300]
)
def test_what_is_no_python_is_said_and_hides_nothing(folder, capsys, content):
    (folder / "a.py").write_bytes(content)
    (folder / "b.py").write_text(BAD, encoding="utf-8")
    code, said = hook(capsys, "a.py", "b.py")
    assert code == 2
    assert "error: a.py" in said
    assert "b.py:2:11" in said


def test_deep_code_is_walked(folder, capsys):
    deep = "import torch\nx = " + "torch.load(" + "-" * 60 + "1)" + " + 1" * 900 + "\n"
    (folder / "a.py").write_text(deep, encoding="utf-8")
    assert hook(capsys, "a.py")[0] == 1


def test_a_message_shows_the_code_and_no_more_than_a_line_of_it(folder, capsys):
    sums = " + 'x'" * 900
    (folder / "a.py").write_text(
        "state_dict = {k[7:]: v for k, v in state_dict.items()}\n"
        f"state_dict = {{k{sums}: v for k, v in state_dict.items()}}\n"
        "state_dict = {k.replace(\n'a', 'b'): v for k, v in state_dict.items()}\n",
        encoding="utf-8",
    )
    lines = [line for line in hook(capsys, "a.py")[1].splitlines() if "[CKL" in line]
    assert lines[0].endswith("k[7:] cuts keys that do not have the prefix as well")
    assert lines[1].endswith("+ 'x'  ...")
    assert lines[2].endswith("k.replace( ...")


def test_levels_and_codes(folder, capsys):
    (folder / "a.py").write_text(BAD, encoding="utf-8")
    assert hook(capsys, "a.py", "--fail-on", "error")[0] == 0
    assert hook(capsys, "a.py", "--ignore", "CKL102")[0] == 0
    assert hook(capsys, "a.py", "--select", "CKL101,CKL103")[0] == 0
    assert hook(capsys, "a.py", "--select", "CKL102")[0] == 1
    (folder / "ckptlint.toml").write_text("[severity]\nCKL102 = 'error'\n", encoding="utf-8")
    assert hook(capsys, "a.py", "--fail-on", "error")[0] == 1
    assert hook(capsys, "absent.py")[0] == 2


def test_folders_are_walked_without_what_is_installed(folder, capsys):
    for name in ("src/a.py", ".venv/b.py", "lib/site-packages/c.py", "src/d.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(BAD, encoding="utf-8")
    assert hook(capsys, ".")[1].count("CKL102") == 1
