"""The examples on the page of the Python API give what the page says."""

import doctest
import re
from pathlib import Path

import pytest

import ckptlint

PAGE = (Path(__file__).parent.parent / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_examples(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    blocks = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    said: list[str] = []
    test = doctest.DocTestParser().get_doctest(blocks, {"__name__": "example"}, "docs/api.md", None, None)
    runner = doctest.DocTestRunner()
    runner.run(test, out=said.append)
    assert runner.tries > 30
    assert not runner.failures, "".join(said)


def test_every_name_is_described():
    for name in ckptlint.__all__:
        assert f"`{name}`" in PAGE
