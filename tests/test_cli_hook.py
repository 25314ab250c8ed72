"""The hook without options is read by `cli_hook`, and says what `cli` says."""

import pytest

from ckptlint import cli, cli_hook

GOOD = "import torch\nx = torch.load('x', weights_only=True)\n"
BAD = "import torch\nx = torch.load('x')\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "broken.py").write_text("torch.load(\n")
    return tmp_path


@pytest.mark.parametrize(
    ("files", "code"),
    [(["good.py"], 0), (["bad.py", "good.py"], 1), (["."], 2), (["nowhere.py"], 2), (["broken.py", "bad.py"], 2)],
)
def test_both_readers_of_arguments_say_the_same(folder, capsys, files, code):
    assert cli_hook.main(files) == code
    quick = capsys.readouterr()
    assert cli.main(["hook", *files]) == code
    assert capsys.readouterr() == quick


def test_settings_that_are_wrong_are_one_message(folder, capsys):
    (folder / "ckptlint.toml").write_text("select = 'CKZ'\n")
    assert cli_hook.main(["good.py"]) == 2
    quick = capsys.readouterr()
    assert quick.err.startswith("ckptlint: ")
    assert cli.main(["hook", "good.py"]) == 2
    assert capsys.readouterr() == quick


def test_what_is_not_plain_is_left_to_the_reader_of_options(monkeypatch):
    assert cli_hook.files_of(["hook", "a.py", "b.py"]) == ["a.py", "b.py"]
    for arguments in (
        ["hook"],
        ["hook", "a.py", "--fix"],
        ["hook", "-h"],
        ["hook", "--", "a.py"],
        ["scan", "a.py"],
        [],
    ):
        assert cli_hook.files_of(arguments) == []
    monkeypatch.setenv("CKPTLINT_HOOK_FAIL_ON", "never")
    assert cli_hook.files_of(["hook", "a.py"]) == []
