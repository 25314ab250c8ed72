"""The machine reads every opcode as Python does, calls nothing, and answers what is malformed with an error that has a place."""

import collections
import gzip
import os
import pickle
import random
import struct
from pathlib import Path

import pickled_things as things
import pytest
from pickle_forms import again, entry, form

from ckptlint.core.tree import Bytes, Dict, Global, List, Opaque, Persistent, Set, Tuple
from ckptlint.errors import FormatError
from ckptlint.formats.pickles import Limits, Note, read

VALUE = [
    {
        "a": 1,
        "b": [1.5, None, True],
        3: ("x", b"bytes", 1 << 80),
        "nested": {"t": ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4))},
    },
    collections.OrderedDict(x={1, 2}, y=frozenset("q"), z=bytearray(b"array")),
    [collections.Counter("aab"), collections.defaultdict(list, k=[1]), 2 + 3j, "snow \u2603", -7, 70_000, 300],
]


def root(content, **limits):
    return read(content, "test", limits=Limits(**limits)).root


def refused(content, **limits):
    """Read what must be refused; return the message, and the offset it names."""
    with pytest.raises(FormatError) as caught:
        read(content, "test", limits=Limits(**limits))
    origin, byte, offset = caught.value.where.replace(":", "").split()
    assert (origin, byte) == ("test", "byte")
    assert 0 <= int(offset) <= len(content) + 8
    return caught.value.message


def assembled(*parts):
    """Assemble opcodes and their arguments."""
    return b"".join(part if isinstance(part, bytes) else bytes([part]) for part in parts)


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def test_values_of_python_become_scalars_and_nodes():
    first, ordered, odd = root(pickle.dumps(VALUE, 2)).items
    assert first.get("a") == 1
    assert first.get("b").items == [1.5, None, True]
    assert first.get(3).items == ("x", b"bytes", 1 << 80)
    assert str(ordered.made_by.function) == "collections.OrderedDict"
    assert [type(value) for _, value in ordered.items] == [Set, Set, Bytes]
    assert ordered.get("z").content == b"array"
    counter, default, number, *rest = odd.items
    assert counter.items == [("a", 2), ("b", 1)]
    assert str(default.made_by.arguments.items[0]) == "__builtin__.list"
    assert number == 2 + 3j
    assert rest == ["snow \u2603", -7, 70_000, 300]


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_reads_the_same(protocol):
    assert form(root(pickle.dumps(VALUE[:1], protocol))) == form(root(pickle.dumps(VALUE[:1], 2)))


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_follow_each_other_in_one_buffer(protocol):
    parts = [pickle.dumps(value, protocol) for value in (1, "two", [3])]
    buffer, position, found = b"junk" + b"".join(parts) + b"tail", 4, []
    for _ in parts:
        one = read(buffer, "test", offset=position)
        position = one.end
        found.append(one.root)
    assert (found[:2], found[2].items, buffer[position:]) == ([1, "two"], [3], b"tail")


def test_a_view_of_memory_is_read_as_bytes_are():
    for protocol in range(6):
        content = pickle.dumps(VALUE, protocol)
        assert form(root(memoryview(content))) == form(root(content))


def test_what_is_shared_is_one_node():
    shared = [1]
    found = root(pickle.dumps((shared, shared, {"k": shared})))
    assert found.items[0] is found.items[1] is found.items[2].get("k")


def test_nothing_is_called_and_what_would_be_is_told():
    found = read(pickle.dumps(os.system) + assembled(b"cos\nsystem\n", text("true"), 0x85, b"R."), "test")
    assert str(found.root) == "posix.system"
    call = read(assembled(b"cos\nsystem\n", text("true"), 0x85, b"R."), "test")
    assert call.root.named == "os.system"
    assert [tuple(use) for use in call.globals] == [("os", "system", True, False)]


def test_a_call_that_is_thrown_away_is_noted():
    found = read(assembled(b"cos\nsystem\n", text("true"), 0x85, b"R0K\x01."), "test")
    assert found.root == 1
    assert [note.kind for note in found.notes] == ["discarded"]
    assert found.globals[0].called


def test_values_left_on_the_stack_are_noted():
    found = read(b"K\x01K\x02.", "test")
    assert found.notes == (Note("left-over", "1 values are left on the stack", 4),)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_an_object_is_named_by_its_class(protocol):
    plain = things.Plain()
    plain.word = "w"
    found = root(pickle.dumps(plain, protocol))
    assert found.named == "pickled_things.Plain"
    assert found.state().get("word") == "w"


def test_an_object_keeps_the_order_of_its_construction():
    value = things.ListChild([1, 2])
    value.word = "w"
    found = root(pickle.dumps(value, 2))
    assert [change[0] for change in found.changes] == ["append", "append", "build"]


def test_a_dict_may_be_given_two_states():
    found = root(b"ccollections\nOrderedDict\n)R}K\x01K\x02sb}K\x03K\x04sb.")
    assert found.state.items == [(1, 2), (3, 4)]


def test_a_function_that_sets_a_state_is_a_change():
    found = root(pickle.dumps(things.StateSetter(), 2))
    ((kind, function, state),) = found.changes
    assert (kind, str(function), type(state)) == ("apply", "pickled_things.give_state", Dict)


def test_python_2_objects_are_read():
    instance = root(b"(ipickled_things\nPlain\n}X\x01\0\0\0aK\x01sb.")
    assert (instance.named, instance.call.new, instance.state().get("a")) == ("pickled_things.Plain", True, 1)
    called = root(b"(cpickled_things\nReduced\nK\x01K\x02o.")
    assert (called.call.new, called.call.arguments.items) == (False, (1, 2))
    pairs = root(b"ccollections\nOrderedDict\n((lp0\n(lp1\nS'a'\naI1\naatR.")
    assert pairs.items == [("a", 1)]


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"S'it\\'s \\x41\\n\\101'\n.", "it's A\nA"),
        (b'S"\\q"\n.', "\\q"),
        (b"S'\\xff'\n.", b"\xff"),
        (b"U\x02\xc3\xa9.", "\u00e9"),
        (b"T\x01\0\0\0\xff.", b"\xff"),
        (b"V\\u2603\n.", "\u2603"),
        (b"I01\n.", True),
        (b"I-5\n.", -5),
        (b"L123456789012345678901L\n.", 123456789012345678901),
        (b"F1.5\n.", 1.5),
        (b"\x8a\x00.", 0),
        (b"\x8b\x01\0\0\0\xff.", -1),
        (b"K\x01p2\n0g2\n.", 1),
        (b"K\x01r\x03\0\0\0" + b"0h\x03.", 1),
        (b"K\x012.", 1),
        (b"(K\x01K\x021K\x03.", 3),
        (b"(K\x01K\x0200" + b"K\x03.", 3),
    ],
)
def test_opcodes_that_torch_does_not_write(content, value):
    found = root(content)
    assert found == value
    assert type(found) is type(value)
    if b"\\q" not in content and type(value) is not bytes:  # of the one Python says it will not read it for ever
        assert found == pickle.loads(content, encoding="utf-8")


def test_persistent_ids_that_are_no_storages_are_kept():
    assert root(b"Psome id\n.").pid == "some id"
    assert root(assembled(text("x"), b"K\x01\x86Q.")).pid.items == ("x", 1)
    assert type(root(b"K\x05Q.")) is Persistent


HOSTILE = {
    "nothing": b"",
    "no opcode": b"\xff.",
    "no stop": b"K\x01",
    "stop on nothing": b".",
    "protocol 6": b"\x80\x06K\x01.",
    "pop on nothing": b"0.",
    "mark without use": b"t.",
    "get of nothing": b"h\x00.",
    "get in a gap": b"K\x01r\x03\0\0\0h\x02.",
    "put of nothing": b"q\x00.",
    "memo number that is too large": b"K\x01r\xff\xff\xff\x7f.",
    "memo number in text": b"K\x01p1000000000000000000\n.",
    "negative memo number": b"K\x01p-1\n.",
    "memoize after a gap": b"K\x01r\x03\0\0\0\x94.",
    "long text": b"X\xff\xff\xff\xff.",
    "long text of protocol 4": b"\x8d" + b"\xff" * 8 + b".",
    "long bytes": b"\x8e" + b"\xff" * 7 + b"\x7f.",
    "long byte array": b"\x96" + b"\xff" * 7 + b"\x7f.",
    "long integer": b"\x8b\xff\xff\xff\x7f.",
    "integer beyond the limit": b"\x8b\x01\x04\0\0" + b"\x01" * 1025 + b".",
    "integer of many digits": b"I" + b"9" * 200_000 + b"\n.",
    "integer that is none": b"I1_0\n.",
    "float that is none": b"Fone\n.",
    "negative length": b"T\xff\xff\xff\xff.",
    "text that is not utf-8": b"X\x01\0\0\0\xff.",
    "text that is not escaped right": b"V\\uZZZZ\n.",
    "string without quotes": b"Sabc\n.",
    "string of one quote": b"S'\n.",
    "line without end": b"cos",
    "name that is not text": b"K\x01K\x02\x93.",
    "name that is empty": b"c\n\n.",
    "name with control characters": assembled(text("os\nx"), text("system"), 0x93, b"."),
    "name that is too long": b"c" + b"a" * 5000 + b"\nb\n.",
    "call of a number": b"K\x01)R.",
    "call of text": assembled(text("os.system"), b")R."),
    "arguments that are no tuple": b"cos\nsystem\n]R.",
    "new object of nothing": b"K\x01)\x81.",
    "new object without a tuple": b"ca\nb\nK\x01\x81.",
    "keywords that are no dict": b"ca\nb\n)K\x01\x92.",
    "object without a class": b"(o.",
    "extension": b"\x82\x01.",
    "extension 2": b"\x83\x01\x01.",
    "extension 4": b"\x84\x01\0\0\0.",
    "buffer": b"\x97.",
    "read-only buffer": b"K\x01\x98.",
    "append to a number": b"K\x01K\x02a.",
    "append to a tuple": b")K\x02a.",
    "append to a dict": b"}K\x02a.",
    "item of a list": b"]K\x01K\x02s.",
    "item of a number": b"K\x01K\x01K\x02s.",
    "item of a class": b"ca\nb\nK\x01K\x02s.",
    "items without a value": b"}(K\x01u.",
    "dict without a value": b"(K\x01d.",
    "added to a list": b"](K\x01\x90.",
    "added to a frozen set": b"(\x91(K\x01\x90.",
    "key that is a list": b"}]K\x01s.",
    "key that is a dict": b"}}K\x01s.",
    "member that is a list": b"\x8f(]\x90.",
    "state of a number": b"K\x01}b.",
    "state of a list": b"]}b.",
    "state of a plain dict": b"}}b.",
    "state of a class": b"ca\nb\n}b.",
    "frame behind the end": b"\x80\x04\x95\xff\0\0\0\0\0\0\0K\x01.",
    "huge frame": b"\x80\x04\x95" + b"\xff" * 8 + b"K\x01.",
    "frame in a frame": b"\x80\x04\x95\x0c\0\0\0\0\0\0\0\x95\x02\0\0\0\0\0\0\0K\x01.",
    "operation across a frame": b"\x80\x04\x95\x01\0\0\0\0\0\0\0K\x01.",
    "stop inside a frame": b"\x80\x04\x95\x04\0\0\0\0\0\0\0K\x01.....",
    "bytes that are none": assembled(b"c_codecs\nencode\n", text("\u2603"), text("latin1"), b"\x86R."),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_malformed_is_refused(name):
    refused(HOSTILE[name])


def test_what_is_nested_too_deep_is_refused():
    many = 20_000
    assert "deeper" in refused(b"(" * many)
    assert "deeper" in refused(b"})" + b"\x85" * 1_000_000 + b"K\x01s.")
    assert "deeper" in refused(b"ca\nb\n)" + b"\x85" * many + b"R.")
    assert "deeper" in refused(b"]q\x000" + b"]h\x00aq\x000" * many + b"h\x00.")
    assert "deeper" in refused(b"ca\nb\nq\x00)R" + b"q\x010h\x00h\x01\x85R" * many + b".")


def test_shared_nodes_are_not_walked_twice():
    doubled = b")q\x00" + b"h\x00h\x00\x86q\x000h\x00" * 5000 + b"."
    assert type(root(doubled)) is Tuple
    laughs = b"]q\x00" + b"0](h\x00h\x00h\x00h\x00eq\x00" * 4000 + b"."
    assert type(root(laughs)) is List
    assert type(root(b"})" + b"2\x86" * 9_000 + b"K\x01s.")) is Dict


def test_limits_hold():
    assert "operations" in refused(b"N0" * 40_000 + b"N.", operations=30_000)
    assert "stack" in refused(b"N" * 40_000 + b".", stack=20_000)
    assert "memo" in refused(b"N" + b"\x94" * 40_000 + b".", memo=20_000)
    assert "larger than" in refused(b"N0" * 40_000 + b"N.", size=20_000)
    assert "deeper" in refused(pickle.dumps([[[[[]]]]]) + b" " * 100, depth=3)


def test_constructors_are_not_believed():
    assert root(b"c__builtin__\nbytearray\n\x8a\x06\0\0\0\0\0\x40\x85R.").named == "__builtin__.bytearray"
    assert root(b"ctorch\nFloatTensor\nJ\xff\xff\xff\x7f\x85R.").named == "torch.FloatTensor"
    assert root(b"c__builtin__\nset\nK\x05\x85R.").named == "__builtin__.set"
    assert type(root(b"ccollections\nCounter\n]\x85R.")) is Opaque


STORAGE = assembled(b"(", text("storage"), b"ctorch\nFloatStorage\n", text("0"), text("cpu"), b"K\x0ctQ")
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
HOOKS = b"ccollections\nOrderedDict\n)R"
KEY, PLACE = text("0"), text("cpu")
MOST = b"\x8a\x08" + b"\xff" * 7 + b"\x7f"


def tensor(
    *, storage=STORAGE, offset=b"K\x00", size=b"K\x03K\x04\x86", stride=b"K\x04K\x01\x86", grad=b"\x89", hooks=HOOKS
):
    return assembled(REBUILD, b"(", storage, offset, size, stride, grad, hooks, b"tR.")


def storage(kind=b"ctorch\nFloatStorage\n", key=KEY, location=PLACE, numel=b"K\x0c", more=b""):
    return assembled(b"(", text("storage"), kind, key, location, numel, more, b"tQ")


UNTYPED = assembled(b"(", text("storage"), b"ctorch.storage\nUntypedStorage\n", text("0"), text("cpu"), b"K\x0ctQ")


def untyped(size, offset=b"K\x00", dtype=b"ctorch\nuint16\n"):
    """A tensor of uint16 in a storage of 12 bytes."""
    parts = (UNTYPED, offset, size, b"K\x01\x85\x89", HOOKS, dtype)
    return assembled(b"ctorch._utils\n_rebuild_tensor_v3\n(", *parts, b"tR.")


BAD_TENSORS = {
    "bytes beyond the storage": untyped(b"K\x07\x85"),
    "offset in elements beyond the storage": untyped(b"K\x01\x85", offset=b"K\x06"),
    "dtype that is text": untyped(b"K\x06\x85", dtype=text("uint16")),
    "negative size": tensor(size=b"J\xff\xff\xff\xffK\x04\x86"),
    "negative stride": tensor(stride=b"J\xff\xff\xff\xffK\x01\x86"),
    "negative offset": tensor(offset=b"J\xff\xff\xff\xff"),
    "offset behind the storage": tensor(offset=b"K\x01"),
    "stride beyond the storage": tensor(stride=b"K\x05K\x01\x86"),
    "size beyond the storage": tensor(size=b"K\x04K\x04\x86"),
    "product beyond 64 bits": tensor(size=MOST + MOST + b"\x86", stride=b"K\x00K\x00\x86"),
    "stride beyond 64 bits": tensor(stride=b"\x8a\x09" + b"\xff" * 8 + b"\x00K\x01\x86"),
    "more sizes than strides": tensor(stride=b"K\x04\x85"),
    "size that is true": tensor(size=b"K\x03\x88\x86"),
    "size that is a float": tensor(size=b"K\x03G\0\0\0\0\0\0\0\0\x86"),
    "size that is no tuple": tensor(size=b"K\x03"),
    "rank 65": tensor(size=b"(" + b"K\x01" * 65 + b"t", stride=b"(" + b"K\x01" * 65 + b"t"),
    "gradient that is a number": tensor(grad=b"K\x01"),
    "storage that is a number": tensor(storage=b"K\x01"),
    "storage that is missing": assembled(REBUILD, b"(tR."),
    "storage of five elements more": tensor(storage=storage(numel=b"J\xff\xff\xff\xff")),
    "storage too long for anyone": tensor(storage=storage(numel=MOST)),
    "storage of unknown class": tensor(storage=storage(kind=b"ctorch\nMagicStorage\n")),
    "storage of a class from elsewhere": tensor(storage=storage(kind=b"cevil\nFloatStorage\n")),
    "storage that names a path": tensor(storage=storage(key=text("../../x"))),
    "storage with a number for a name": tensor(storage=storage(key=b"K\x01")),
    "storage without a place": tensor(storage=storage(location=b"N")),
    "storage described by more": tensor(storage=storage(more=b"NN")),
    "storage of two dtypes": assembled(STORAGE, storage(kind=b"ctorch\nIntStorage\n"), b"\x86."),
    "storage of two lengths": assembled(STORAGE, storage(numel=b"K\x0d"), b"\x86."),
    "view outside of its storage": tensor(storage=storage(more=text("v") + b"K\x0bK\x02\x87")),
}


def test_the_tensor_that_the_bad_ones_differ_from_is_good():
    found = root(tensor())
    assert (str(found.spec), found.stride, found.storage.numel) == ("f32[3,4]", (4, 1), 12)


def test_an_untyped_storage_is_counted_in_bytes():
    found = root(untyped(b"K\x06\x85"))
    assert (str(found.spec), found.storage.numel, found.storage.dtype.name) == ("u16[6]", 12, "u8")
    assert root(untyped(b"K\x06\x85", dtype=b"ctorch\nfloat3\n")).named == "torch._utils._rebuild_tensor_v3"


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_a_malformed_tensor_is_refused(name):
    refused(BAD_TENSORS[name])


def test_a_view_of_a_storage_has_its_own_beginning():
    found = root(tensor(size=b"K\x02\x85", stride=b"K\x01\x85", storage=storage(more=text("v") + b"K\x05K\x02\x87")))
    assert (found.offset, found.shape, found.storage.numel) == (5, (2,), 12)


def test_tensors_over_what_is_no_storage_stay_opaque():
    found = root(tensor(storage=b"ca\nb\n)R"))
    assert found.named == "torch._utils._rebuild_tensor_v2"


def test_an_expanded_tensor_is_what_the_file_says():
    found = root(tensor(size=b"\x8a\x06\0\0\0\0\0\x01\x85", stride=b"K\x00\x85"))
    assert found.shape == (1 << 40,)


SAMPLES = [pickle.dumps(VALUE, protocol) for protocol in range(6)] + [tensor()]


@pytest.mark.parametrize("sample", SAMPLES, ids=[*map(str, range(6)), "tensor"])
def test_what_is_cut_anywhere_is_refused(sample):
    for stop in range(len(sample) - 1):
        refused(sample[:stop])


@pytest.mark.parametrize("sample", SAMPLES, ids=[*map(str, range(6)), "tensor"])
def test_no_mutation_gets_another_answer_than_a_tree_or_an_error(sample):
    dice = random.Random(len(sample))
    good = 0
    for _ in range(1000):
        mutant = bytearray(sample)
        for _ in range(dice.choice([1, 1, 1, 2, 4])):
            _mutate(mutant, dice)
        try:
            found = read(bytes(mutant), "fuzz")
        except FormatError:
            continue
        good += 1
        again(bytes(mutant), found.protocol)
    assert good > 10


def _mutate(mutant, dice):
    place, kind = dice.randrange(len(mutant)), dice.randrange(4)
    if kind == 0:
        mutant[place] = dice.randrange(256)
    elif kind == 1:
        mutant[place] ^= 1 << dice.randrange(8)
    elif kind == 2:
        start = dice.randrange(len(mutant))
        mutant[place:place] = mutant[start : start + dice.randrange(1, 20)]
    elif len(mutant) > 8:
        del mutant[place : place + dice.randrange(1, 5)]


OPCODES = bytes(
    [*b"(.012FIJKLMNPQRSTUVXabcdeghijlopqrst)u]}GBC", *range(0x80, 0x99)],
)


def test_no_run_of_opcodes_gets_another_answer_than_a_tree_or_an_error():
    dice = random.Random(11)
    pieces = [bytes([code]) for code in OPCODES] + [
        b"K\x01",
        b"ca\nb\n",
        b"X\x01\0\0\0a",
        b"h\x00",
        b"h\x01",
        b"\x94",
        b"\x94",
        STORAGE,
    ]
    for _ in range(4000):
        content = b"".join(dice.choices(pieces, k=dice.randrange(1, 40))) + b"."
        try:
            found = read(content, "fuzz")
        except FormatError:
            continue
        again(content, found.protocol)


CORPORA = Path(os.environ.get("CKPTLINT_CORPORA", Path(__file__).parents[3] / "shared" / "corpora"))


@pytest.mark.skipif(not (CORPORA / "metatrain").is_dir(), reason=f"there is no {CORPORA / 'metatrain'}")
def test_real_checkpoints_come_back():
    paths = sorted((CORPORA / "metatrain").glob("*.ckpt.gz"))
    for number, path in enumerate(paths):
        content = entry(gzip.decompress(path.read_bytes()))
        found = read(content, path.name)
        assert (found.end, found.notes) == (len(content), ())
        if number % 8 == 0:
            assert form(root(again(content))) == form(found.root)
    assert len(paths) > 50


def test_globals_are_one_node_each():
    found = root(b"]ca\nb\naca\nb\na.")
    assert type(found.items[0]) is Global
    assert found.items[0] is found.items[1]
