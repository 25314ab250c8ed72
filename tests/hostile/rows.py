"""Attacks that need no call: on the form of archives, on the reader's memory and time, on names and paths. By the rows of the attack table."""

import io
import json
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from functools import cache

from formats.zips import Member, archive
from hostile.assemble import Build, Call, Name, Pid, Raw, dump, encode, storage, tensor
from hostile.containers import WEIGHTS, bare, legacy, members, tar_of, torch_zip
from hostile.payloads import MKDIR, W

CLEAN = dump({"w": W})


@dataclass(frozen=True)
class Attack:
    """One or several files, and the rules of which a scan must report one; `refused` where the readers must not take it."""

    row: int
    rules: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)
    refused: bool = True


def _zip_of(value, **options) -> bytes:
    return torch_zip(dump(value, **options))


def _torch_tensor(**changes) -> bytes:
    return _zip_of({"w": tensor("0", **({"shape": (2, 2), "numel": 4} | changes))})


def _nested_tuples(depth: int) -> Raw:
    return Raw(b"N" + b"\x85" * depth)


def _shared_tuples(levels: int) -> Raw:
    return Raw(b")" + b"2\x86" * levels)


def _safetensors(head, data: bytes = WEIGHTS, size: int | None = None) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def _entry(shape=(2, 2), dtype="F32", begin=0, end=16) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def _replaced(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


def _gguf(tail: bytes, tensors: int = 0, pairs: int = 1) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + tail


def _one(row: int, rules: str, name: str, content: bytes, *, refused: bool = True) -> tuple[str, Attack]:
    return f"{row} {name}", Attack(row, tuple(rules.split()), {"model.pt": content}, refused)


_KEY = struct.pack("<Q", 1) + b"k"
_ANY_BROKEN = "CKC162 CKC329"
_HIDE = dump(Call(MKDIR, ("MARKER",)))


def pickles() -> list[tuple[str, Attack]]:
    """Rows 4 to 16 and 30: the pickle itself."""
    framed = b"\x80\x04\x95" + struct.pack("<Q", 5) + b"\x8c\x14" + b"A" * 20 + b"."
    return [
        _one(4, "CKC330", "frame crossed", torch_zip(framed)),
        _one(4, "CKC330", "frame too long", torch_zip(b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"}.")),
        _one(4, "CKC330", "frame in a frame", torch_zip(b"\x80\x04\x95" + struct.pack("<Q", 12) + b"\x95" + struct.pack("<Q", 1) + b"}" * 3 + b".")),
        _one(5, "CKC325", "second pickle", torch_zip(CLEAN + CLEAN)),
        _one(5, "CKC326", "bytes behind", torch_zip(CLEAN + b"\x01\x02\x03")),
        _one(5, "CKC311", "payload in the fifth pickle", legacy(CLEAN, replaced={4: dump([Call(MKDIR, ("MARKER",))])})),
        _one(5, "CKC311", "payload in the magic number", legacy(CLEAN, replaced={0: dump(Call(MKDIR, ("MARKER",)))})),
        _one(6, "CKC328", "memo number", torch_zip(b"\x80\x02}r\xff\xff\xff\x7f.")),
        _one(6, "CKC328", "memo number in digits", torch_zip(b"\x80\x02}p1000000000000000000\n.")),
        *(
            _one(7, "CKC329", f"length of {name}", torch_zip(b"\x80\x05" + code + b"."))
            for name, code in {
                "BINUNICODE": b"X\xff\xff\xff\x7f", "BINUNICODE8": b"\x8d" + b"\xff" * 7 + b"\x7f", "BINBYTES8": b"\x8e" + b"\xff" * 7 + b"\x7f",
                "BYTEARRAY8": b"\x96" + b"\xff" * 7 + b"\x7f", "LONG4": b"\x8b\xff\xff\xff\x7f", "BINSTRING": b"T\xff\xff\xff\x7f",
            }.items()
        ),
        _one(8, "CKC329", "integer of 200,000 digits", torch_zip(b"\x80\x02I" + b"9" * 200_000 + b"\n.")),
        _one(8, _ANY_BROKEN, "integer of 5,000 bytes", torch_zip(b"\x80\x02\x8b" + struct.pack("<I", 5000) + b"\x11" * 5000 + b".")),
        _one(9, "CKC327", "deep tuple as a key", torch_zip(b"\x80\x02}" + _nested_tuples(100_000).code + b"Ns.")),
        _one(9, "CKC327", "deep tuple in a set", torch_zip(b"\x80\x04\x8f(" + _nested_tuples(100_000).code + b"\x90.")),
        _one(10, "CKC327", "tuple of 2^40 visits", torch_zip(b"\x80\x02}" + _shared_tuples(40).code + b"Ns."), refused=False),
        _one(10, "CKC218", "list that unfolds", torch_zip(b"\x80\x02" + _laughs() + b"."), refused=False),
        _one(11, "CKC218", "five million marks", torch_zip(b"\x80\x02" + b"(" * 5_000_000 + b".")),
        _one(12, "CKC328", "bytearray", _zip_of({"x": Call(Name("builtins", "bytearray"), (1 << 40,))}), refused=False),
        _one(12, "CKC328", "storage", _zip_of({"x": Call(Name("torch.storage", "UntypedStorage"), (6_000_000_000,))}), refused=False),
        _one(12, "CKC328", "tensor", _zip_of({"x": Call(Name("torch", "FloatTensor"), (1 << 31,))}), refused=False),
        _one(13, "CKC324", "attributes of a class", _zip_of({"w": W, "x": Build(Name("collections", "OrderedDict"), {"__getitem__": MKDIR})})),
        _one(14, _ANY_BROKEN, "item of a tuple", torch_zip(b"\x80\x02)" + encode("a", 2) + b"Ns.")),
        _one(14, _ANY_BROKEN, "append to a dict", torch_zip(b"\x80\x02}Na.")),
        *(
            _one(16, _ANY_BROKEN, f"persistent id, {name}", _zip_of({"w": Call(Name("torch._utils", "_rebuild_tensor_v2"), (pid, 0, (2,), (1,), False, Call(Name("collections", "OrderedDict"))))}))
            for name, pid in {
                "key no text": Pid(("storage", Name("torch", "FloatStorage"), 0, "cpu", 4)), "unknown class": Pid(("storage", Name("torch", "StringStorage"), "0", "cpu", 4)),
                "no location": Pid(("storage", Name("torch", "FloatStorage"), "0", 7, 4)), "negative": storage("0", -4), "key leads out": storage("../../x", 4), "short": Pid(("storage", Name("torch", "FloatStorage"), "0", "cpu")),
            }.items()
        ),
        _one(30, "CKC201", "key twice", _zip_of({"a": W, "x": Raw(b"}(" + encode("k", 2) + encode(W, 2) + encode("k", 2) + encode(W, 2) + b"u")}), refused=False),
    ]  # fmt: skip


def _laughs() -> bytes:
    """Lists of two references to the list before, forty deep, through the memo."""
    code = b"]q\x00"
    for level in range(40):
        code += b"](h" + bytes([level]) + b"h" + bytes([level]) + b"eq" + bytes([level + 1])
    return code


def archives() -> list[tuple[str, Attack]]:
    """Rows 17 to 29: the archive around it."""
    pickle, order, data, version = members(CLEAN)
    evil = Member(pickle.name, _HIDE)
    rest = (order, data, version)
    plain = archive(pickle, *rest)
    hidden = archive(pickle, *rest)
    extra = hidden.index(b"PK\1\2")
    from formats.zips import local

    sneaked = hidden[:extra] + local(Member(b"m/evil.pkl", _HIDE)) + hidden[extra:]
    end = sneaked.rindex(b"PK\5\6")
    start = int.from_bytes(sneaked[end + 16 : end + 20], "little") + len(local(Member(b"m/evil.pkl", _HIDE)))
    sneaked = sneaked[: end + 16] + struct.pack("<I", start) + sneaked[end + 20 :]
    picture = b"\x89PNG\r\n\x1a\n" + bytes(100)
    deflated = Member(b"m/data/0", WEIGHTS, method=8)
    bomb = Member(b"m/data.pkl", dump({"x": "a" * 50_000_000}), method=8)
    return [
        ("17 pickle as safetensors", Attack(17, ("CKC161",), {"model.safetensors": bare(_HIDE)})),
        ("17 pickle without a suffix", Attack(17, ("CKC311",), {"weights": bare(_HIDE)})),
        ("17 zip as text", Attack(17, ("CKC311",), {"notes.txt": torch_zip(_HIDE)}, refused=False)),
        ("18 evil .metadata", Attack(18, ("CKC311",), {"dcp/.metadata": _HIDE, "dcp/__0_0.distcp": torch_zip(CLEAN)})),
        (
            "18 evil .distcp",
            Attack(
                18, ("CKC311",), {"dcp/.metadata": dump({}), "dcp/__0_0.distcp": torch_zip(CLEAN) + torch_zip(_HIDE)}
            ),
        ),
        _one(20, "CKC211", "data.pkl twice, evil first", archive(evil, pickle, *rest)),
        _one(20, "CKC211", "data.pkl twice, evil last", archive(pickle, evil, *rest)),
        _one(20, "CKC211", "storage twice", archive(pickle, order, data, Member(b"m/data/0", bytes(16)), version)),
        _one(21, "CKC212", "DATA.PKL beside", archive(pickle, Member(b"m/DATA.PKL", _HIDE), *rest)),
        _one(21, "CKC212", "DATA.PKL alone", archive(Member(b"m/DATA.PKL", _HIDE), *rest)),
        _one(22, "CKC213", "names differ", archive(pickle.lying(name=b"m/other.py"), *rest)),
        _one(22, "CKC213", "methods differ", archive(pickle.lying_inside(method=8), *rest)),
        _one(22, "CKC213", "sizes differ", archive(pickle.lying_inside(size=7, stored=7), *rest)),
        _one(22, "CKC213 CKC214", "one record over another", archive(pickle, order, data.lying(at=0), version)),
        _one(22, "CKC215", "record that no directory names", sneaked, refused=False),
        _one(23, "CKC217", "wrong CRC hides nothing", archive(evil.lying(crc=1).lying(crc=1), *rest)),
        _one(
            23,
            "CKC311",
            "payload under a wrong CRC",
            archive(Member(pickle.name, _HIDE, local={"crc": 1}, central={"crc": 1}), *rest),
        ),
        _one(23, "CKC220", "encrypted", archive(Member(pickle.name, CLEAN, flags=0x0801), *rest)),
        _one(23, "CKC213 CKC162", "count lies", archive(pickle, *rest, count=2)),
        _one(23, "CKC216", "prefix", picture + plain),
        _one(23, "CKC216", "two archives", archive(evil, *rest) + plain),
        _one(23, "CKC216", "bytes behind", plain + b"\x00" * 100),
        _one(24, "CKC218", "bomb", archive(bomb, *rest)),
        _one(24, "CKC162", "packed storage", archive(pickle, order, deflated, version)),
        _one(25, "CKC213 CKC162", "directory elsewhere", archive(pickle, *rest, start=7)),
        _one(25, "CKC213 CKC162", "zip64 end disagrees", archive(pickle, *rest, zip64=True, wide_start=3)),
        _one(28, "CKC219", "name leads out", archive(pickle, *rest, Member(b"m/../../x", b"y"))),
        _one(28, "CKC219", "absolute name", archive(pickle, *rest, Member(b"/etc/x", b"y"))),
        _one(29, "CKC222", "stray record", archive(pickle, *rest, Member(b"m/extra.bin", b"y" * 100)), refused=False),
        _one(29, "CKC221", "code", archive(pickle, *rest, Member(b"m/setup.py", b"print()")), refused=False),
        _one(29, "CKC221", "native code", archive(pickle, *rest, Member(b"m/lib.so", b"\x7fELF")), refused=False),
        _one(29, "CKC311", "pickle beside", archive(pickle, *rest, Member(b"m/extra.pkl", _HIDE)), refused=False),
        _one(15, "CKC219", "tar that leads out", tar_of({"../x": b"y"})),
        _one(24, "CKC163 CKC162", "gzip of zeros", _gzip_bomb()),
        _one(19, "CKC163", "7-Zip", b"7z\xbc\xaf\x27\x1c" + bytes(60)),
    ]


def _gzip_bomb() -> bytes:
    machine = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    return b"".join(machine.compress(block) for _ in range(120)) + machine.flush()


def tensors() -> list[tuple[str, Attack]]:
    """Rows 26 and 27: what torch loads with other values, or not at all."""
    lies = {
        "size": {"shape": (3, 2), "stride": (2, 1)}, "offset": {"offset": 1}, "negative stride": {"stride": (-2, 1)}, "negative size": {"shape": (-2, 2), "stride": (2, 1)},
        "negative offset": {"offset": -1}, "overflow": {"shape": (1 << 62, 4), "stride": (4, 1)}, "rank": {"stride": (2,)}, "stride": {"stride": (1 << 40, 1)},
        "count": {"numel": 400}, "missing record": {"key": "7"}, "sizes no numbers": {"shape": (2.0, 2), "stride": (2, 1)},
        "dimensions": {"shape": (1,) * 100, "stride": (1,) * 100},
    }  # fmt: skip
    found = []
    for name, lie in lies.items():
        value = _by_hand({"key": "0", "shape": (2, 2), "numel": 4, "stride": (2, 1), "offset": 0} | lie)
        found.append(_one(26, "CKC162", name, _zip_of({"w": value})))
    two = {"a": W, "b": tensor("0", (2, 2), kind="IntStorage")}
    found.append(_one(26, "CKC162", "two dtypes", _zip_of(two)))
    found.append(_one(26, "CKC162", "two lengths", _zip_of({"a": W, "b": tensor("0", (2,))})))
    wide = tensor("0", (1 << 40,), 4, stride=(0,))
    found.append(_one(27, "CKC411", "repeated to terabytes", _zip_of({"w": wide}), refused=False))
    return found


def _by_hand(made: dict) -> Call:
    """A tensor whose every number is said."""
    stored = storage(made["key"], made["numel"])
    hooks = Call(Name("collections", "OrderedDict"))
    view = (stored, made["offset"], made["shape"], made["stride"], False, hooks)
    return Call(Name("torch._utils", "_rebuild_tensor_v2"), view)


def others() -> list[tuple[str, Attack]]:
    """Rows 31 to 41, 44 and 45: other formats, indexes and folders."""
    deep = b'{"w":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    heads = {
        (31, "length 2^64"): _safetensors({"w": _entry()}, size=(1 << 64) - 1),
        (31, "length beyond the file"): _safetensors({"w": _entry()}, size=1 << 30),
        (32, "hole"): _safetensors({"w": _entry(begin=4, end=20)}, bytes(20)),
        (32, "overlap"): _safetensors({"a": _entry(), "b": _entry(begin=8, end=24)}, bytes(24)),
        (32, "bytes behind"): _safetensors({"w": _entry()}, bytes(20)),
        (32, "short"): _safetensors({"w": _entry()}, bytes(8)),
        (32, "begins behind its end"): _safetensors({"w": _entry(begin=16, end=0)}),
        (33, "2^64 elements"): _safetensors({"w": _entry(shape=(1 << 40, 1 << 40))}),
        (33, "true for a size"): _safetensors(b'{"w":{"dtype":"F32","shape":[true,4],"data_offsets":[0,16]}}'),
        (33, "fraction for a size"): _safetensors(b'{"w":{"dtype":"F32","shape":[2.0,2],"data_offsets":[0,16]}}'),
        (33, "negative size"): _safetensors({"w": _entry(shape=(-2, -2))}),
        (33, "unknown dtype"): _safetensors({"w": _entry(dtype="F99")}),
        (34, "key twice"): _safetensors(
            b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
        ),
        (35, "deep JSON"): _safetensors(deep),
        (35, "long integer"): _safetensors(
            b'{"w":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,16]}}'
        ),
        (35, "NaN"): _safetensors(b'{"w":{"dtype":"F32","shape":[NaN],"data_offsets":[0,16]}}'),
        (35, "lone surrogate"): _safetensors(b'{"\\ud800":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
        (35, "not UTF-8"): _safetensors(b'{"\xff":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
        (36, "header of 200 MB"): _safetensors({"w": _entry()}, size=200 << 20),
        (37, "metadata no text"): _safetensors({"__metadata__": {"a": 1}, "w": _entry()}),
    }
    found = [
        (f"{row} {name}", Attack(row, ("CKC162", "CKC160"), {"model.safetensors": content}))
        for (row, name), content in heads.items()
    ]
    shard = _safetensors({"w": _entry()})
    for name in ("../../etc/passwd", "/etc/passwd", "C:x.safetensors", "\\\\srv\\x", "a/../../b", "sub\\..\\..\\x"):
        index = json.dumps({"metadata": {}, "weight_map": {"w": name}}).encode()
        found.append(
            (f"38 {name}", Attack(38, ("CKC219",), {"model.safetensors.index.json": index, "s.safetensors": shard}))
        )
    lists = {
        (39, "missing shard"): {"w": "absent.safetensors"},
        (39, "key that is not there"): {"w": "s.safetensors", "v": "s.safetensors"},
    }
    for (row, name), weight_map in lists.items():
        index = json.dumps({"metadata": {}, "weight_map": weight_map}).encode()
        found.append(
            (f"{row} {name}", Attack(row, ("CKC162",), {"model.safetensors.index.json": index, "s.safetensors": shard}))
        )
    npy = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (__import__('os').mkdir('MARKER'),), }"
    found += [
        _one(44, "CKC160 CKC162", "GGUF of 2^60 pairs", _gguf(b"", pairs=1 << 60)),
        _one(44, "CKC160 CKC162", "GGUF string of 2^62", _gguf(struct.pack("<Q", 1 << 62))),
        _one(44, "CKC160 CKC162", "GGUF array of 2^40", _gguf(_KEY + struct.pack("<IIQ", 9, 9, 1 << 40))),
        _one(
            44,
            "CKC221",
            "GGUF template",
            _gguf(_KEY + struct.pack("<IQ", 8, 40) + b"{{ ''.__class__.__mro__[1].__subclasses__() }}"[:40]),
            refused=False,
        ),
        _one(45, "CKC160 CKC162", "code in an npy header", npy),
        _one(
            45,
            "CKC311",
            "object array",
            b"\x93NUMPY\x01\x00v\x00"
            + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117)
            + b"\n"
            + _HIDE,
        ),
        (
            "45 Keras Lambda",
            Attack(
                45,
                ("CKC221",),
                {"model.keras": _zip({"config.json": b'{"class_name": "Lambda"}', "model.weights.h5": b"x"})},
            ),
        ),
    ]
    return found


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return out.getvalue()


@cache
def attacks() -> dict[str, Attack]:
    return dict([*pickles(), *archives(), *tensors(), *others()])


ELSEWHERE = {
    1: "tests/hostile/payloads.py",
    2: "tests/hostile/payloads.py",
    3: "tests/hostile/payloads.py",  # every opcode path
    40: "tests/formats/test_dcp.py",
    41: "tests/formats/test_deepspeed.py",
    42: "tests/report/test_inspection.py",
    43: "tests/formats/test_byte_source.py",
    46: "tests/documents/test_yaml_nodes.py",
    47: "tests/core/test_template.py",
    48: "tests/engine/test_planner.py",
    49: "tests/formats/test_atomic.py",
    50: "tests/test_bad_input.py",
}  # fmt: skip  rows of which other tests are
