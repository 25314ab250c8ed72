"""A bare pickle is called by what is in it, and nothing in it is run."""

import collections
import decimal
import pickle

import pytest

from ckptlint.errors import FormatError
from ckptlint.formats import open_checkpoint

np = pytest.importorskip("numpy")
HELD = {
    r"a dict of 2 entries \('names', 'epoch'\); loading it would import numpy": {"names": np.array(["a"]), "epoch": 1},
    "an object of decimal.Decimal; loading it would import decimal": decimal.Decimal("1.5"),
    "a list of 3 entries, the first a int": [1, 2, 3],
    "a dict of 5 entries .*0, 1, 2, 3, ": dict.fromkeys(range(5), "x"),
    "a tuple of 1 entries, the first a dict": ({},),
    "a dict of 1 entries .*'a'": collections.OrderedDict(a=1),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("words", HELD)
def test_a_pickle_is_called_by_what_it_holds(tmp_path, words, protocol):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(HELD[words], protocol))
    with pytest.raises(
        FormatError, match=f"is a bare pickle, which torch.save did not write: it holds {words}"
    ) as caught:
        open_checkpoint(path)
    assert caught.value.rule == "CKC145"
    assert ("from_numpy" in caught.value.hint) == ("numpy" in words)


def test_a_pickle_that_is_cut_off_says_so(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"a": list(range(100))}, 2)[:-20])
    with pytest.raises(FormatError, match="it is cut off") as caught:
        open_checkpoint(path)
    assert caught.value.rule == "CKC103"
