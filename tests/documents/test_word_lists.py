"""Lists of names from files beside a migration: each form is read, each fault has its place, and the digest covers what they hold."""

import pytest

from ckptlint.documents.migrations import read_migration
from ckptlint.errors import DocumentError

BODY = """ckptlint: 1
rewrites:
- from: embed
  to: embed
  ops: [remap_rows: {old: {file: old.txt}, new: [b, a, c], missing: mean}]
"""


def read(folder, content, body=BODY):
    (folder / "old.txt").write_text(content)
    return read_migration(body, str(folder / "m.yaml"))


@pytest.mark.parametrize("content", ["a\nb\n", '["a", "b"]', '{"b": 1, "a": 0}'])
def test_each_form_gives_the_names(content, tmp_path):
    (move,) = read(tmp_path, content).stages[0].rewrites
    assert move.ops[0].options["old"] == ("a", "b")


def test_the_digest_covers_what_the_file_holds(tmp_path):
    one, other = read(tmp_path, "a\nb\n").digest, read(tmp_path, "b\na\n").digest
    assert one != other
    assert read(tmp_path, "a\nb\n").digest == one


@pytest.mark.parametrize(
    ("content", "body", "message"),
    [
        ("[1, 2]", BODY, "should hold names"),
        ('{"a": 1, "b": 3}', BODY, "without a gap"),
        ("[", BODY, "is not JSON"),
        ("a\na", BODY, "'a' stands twice"),
        ("a", BODY.replace("old.txt", "../old.txt"), "should be a file beside the migration"),
        ("a", BODY.replace("old.txt", "none.txt"), "cannot be read"),
    ],
)
def test_a_fault_has_its_place(content, body, message, tmp_path):
    with pytest.raises(DocumentError, match=message) as caught:
        read(tmp_path, content, body)
    assert "m.yaml:5" in caught.value.where
