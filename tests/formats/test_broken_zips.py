"""Torch zips that contradict themselves: torch.load takes many of them, most of all on meta, and none is taken here."""

import io
import warnings

import pytest
from formats.sources import Counted
from formats.test_torch_zip import _Storage, _View, pickled
from formats.zips import Member, archive, local

from ckptlint.errors import FormatError
from ckptlint.formats import torch_zip

torch = pytest.importorskip("torch")

DATA = Member(b"r/data/0", bytes(24))
MORE = Member(b"r/data/1", bytes(24))


class _Untyped(_Storage):
    def __init__(self, dtype):
        self.pid = ("storage", torch.UntypedStorage, "0", "cpu", 24)
        self.dtype = dtype


class _Typed(_View):
    """A tensor that says its dtype itself."""

    def __reduce__(self):
        storage, *geometry = self.arguments
        return torch._utils._rebuild_tensor_v3, (storage, *geometry, storage.dtype)


def zipped(value, *members):
    small = [
        Member(b"r/data.pkl", pickled(value)),
        Member(b"r/byteorder", b"little"),
        Member(b"r/version", b"3\n"),
    ]
    return archive(*small, *members)


def one(**geometry):
    return zipped({"w": _View(_Storage(), **geometry)}, DATA)


def _aliased():
    """The directory sends whoever asks for data/1 to data/0."""
    value = [_View(_Storage()), _View(_Storage(key="1"))]
    head = [Member(b"r/data.pkl", pickled(value)), Member(b"r/byteorder", b"little"), Member(b"r/version", b"3\n")]
    start = sum(len(local(member)) for member in head)
    return archive(*head, DATA, MORE.lying(at=start))


BROKEN = {
    "an offset behind the end": one(offset=5),
    "sizes behind the end": one(size=(4, 3)),
    "strides behind the end": one(stride=(4, 1)),
    "a negative stride": one(stride=(-3, 1)),
    "a negative size": one(size=(-2, 3)),
    "a negative offset": one(offset=-1),
    "sizes that overflow": one(size=(1 << 40, 1 << 40), stride=(0, 0)),
    "more sizes than strides": one(stride=(1,)),
    "a size that is no number": one(size=(2.0, 3)),
    "a record that is too short": zipped({"w": _View(_Storage())}, Member(b"r/data/0", bytes(20))),
    "a record that is too long": zipped({"w": _View(_Storage())}, Member(b"r/data/0", bytes(28))),
    "a negative length": zipped({"w": _View(_Storage(numel=-6))}, DATA),
    "no record": zipped({"w": _View(_Storage())}),
    "two dtypes": zipped([_View(_Storage()), _View(_Storage(kind="IntStorage"))], DATA),
    "two lengths": zipped([_View(_Storage()), _View(_Storage(numel=12))], DATA),
    "a record twice": zipped({"w": _View(_Storage())}, DATA, DATA),
    "a record in another case": zipped({"w": _View(_Storage())}, DATA, Member(b"r/DATA/0", bytes(24))),
    "one record for two": _aliased(),
    "compressed data": zipped({"w": _View(_Storage())}, Member(b"r/data/0", bytes(24), method=8)),
    "a dtype with no room": zipped({"w": _Typed(_Untyped(torch.complex128), size=(2, 3))}, DATA),
}


def refusal(content):
    with pytest.raises(FormatError) as caught:
        torch_zip.read(Counted(content))
    return caught.value.message


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_contradicts_itself_is_refused(name):
    assert refusal(BROKEN[name])


def test_each_has_a_message_of_its_own():
    assert len(BROKEN) >= 17
    messages = {name: refusal(content) for name, content in BROKEN.items()}
    assert len(set(messages.values())) == len(BROKEN), messages


def test_torch_takes_what_they_are_made_from():
    for content in (one(), zipped({"w": _Typed(_Untyped(torch.float32), size=(2, 3))}, DATA)):
        assert torch_zip.read(Counted(content)).storages
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert list(torch.load(io.BytesIO(content), weights_only=False)) == ["w"]
