"""Options that come from environment variables, by the names that `--help` shows."""

import click
import pytest
from cli import ckptlint

from ckptlint.cli import cli


@pytest.fixture
def keys(tmp_path):
    (tmp_path / "keys.json").write_text('{"w": [1]}')
    (tmp_path / "model.json").write_text('{"w": [2], "v": [1]}')
    return tmp_path


def test_an_option_is_read_from_the_environment(keys, monkeypatch):
    monkeypatch.setenv("CKPTLINT_LINT_FORMAT", "github")
    monkeypatch.setenv("CKPTLINT_LINT_IGNORE", "broadcastable missing-key")
    said = ckptlint(keys, "lint", "keys.json", "--against", "model.json").stdout
    assert (
        said
        == "::notice title=ckptlint::checked 1 checkpoint, 1 key, 0 findings: 0 errors, 0 warnings, 0 infos; 2 ignored\n"
    )
    monkeypatch.setenv("CKPTLINT_LINT_FAIL_ON", "never")
    monkeypatch.setenv("CKPTLINT_LINT_IGNORE", "")
    assert ckptlint(keys, "lint", "keys.json", "--against", "model.json").stdout.startswith("::error")


def test_the_command_line_wins(keys, monkeypatch):
    monkeypatch.setenv("CKPTLINT_LINT_FORMAT", "github")
    said = ckptlint(keys, "lint", "keys.json", "--format", "text").stdout
    assert said.startswith("checked 1 checkpoint")


def test_every_long_option_has_its_variable():
    for name, command in cli.commands.items():
        for option in command.params:
            if isinstance(option, click.Option):
                flag = next(each for each in option.opts if each.startswith("--"))
                assert option.envvar == f"CKPTLINT_{name}{flag[1:]}".upper().replace("-", "_")
