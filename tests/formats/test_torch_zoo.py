"""Everything that torch saves is read as torch loads it, and written so that torch loads the same."""

import pytest
from formats.sources import Counted

from ckptlint.formats import READERS
from ckptlint.formats.triage import recognise

torch = pytest.importorskip("torch")

from torch_zoo import WRITERS, valid  # noqa: E402  after torch is known to be there
from zoo_forms import by_ckptlint, by_torch, loaded  # noqa: E402

VALUES = dict(valid())
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what torch says of types that it holds half finished


def read(content):
    source = Counted(content)
    return READERS[recognise(source)](source)


def described(content, value):
    """What torch loads; where torch cannot load its own file (untyped and nested ones in the old format), what it saved."""
    try:
        return by_torch(loaded(content))
    except (AttributeError, RuntimeError):
        if content.startswith(b"PK"):
            raise
        return by_torch(value)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("writer", WRITERS)
def test_every_file_is_read_as_torch_loads_it(name, writer):
    value = VALUES[name]()
    content = WRITERS[writer](value)
    theirs = described(content, value)
    ours = by_ckptlint(read(content))
    assert list(ours) == list(theirs)
    assert ours == theirs


def test_the_zoo_has_five_hundred_files():
    assert len(VALUES) * len(WRITERS) >= 500
