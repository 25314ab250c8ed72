"""Ways to hide what a file runs from those who look at it: each is a file that some loader would run, and no scanner may pass."""

import base64
import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib

from formats.zips import Member, archive
from hostile.assemble import Build, Call, Name, New, Raw, dump, encode
from hostile.containers import members, tar_of, torch_zip
from hostile.payloads import MKDIR, W

_RUN = Call(MKDIR, ("marker",))
PICKLE = dump({"w": W, "x": _RUN})
_CLEAN = torch_zip(dump({"w": W}))
_OBSCURED = b"S'\\160\\157\\163\\151\\170'\nS'\\155\\153\\144\\151\\162'\n\x93(S'marker'\ntR."


def _header(text: str, body: bytes) -> bytes:
    head = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body


def _tar(name: str, content: bytes, **fields) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        for field, value in fields.items():
            setattr(entry, field, value)
        tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _resummed(header: bytes, *, signed: bool = False, prefix: bytes = b"") -> bytes:
    """A tar header with another spelling of its checksum."""
    rest = header[:148] + b" " * 8 + header[156:512]
    total = sum(rest) - (256 * sum(byte > 127 for byte in rest) if signed else 0)
    return header[:148] + (prefix + b"%o" % total).ljust(7, b"\0")[:7] + b" " + header[156:]


def _signed_sum() -> bytes:
    whole = bytearray(tar_of({"pickle": PICKLE, "storages": b"", "tensors": b""}))
    whole[330:333] = b"\xff\xfe\xfd"
    return _resummed(bytes(whole[:512]), signed=True) + bytes(whole[512:])


def _odd_digits() -> bytes:
    whole = tar_of({"pickle": PICKLE})
    return _resummed(whole[:512], prefix=b"0o") + whole[512:]


def _link_with_size() -> bytes:
    """Python goes on right behind a link's header, whatever size it has; others skip that many bytes."""
    hidden = tar_of({"pickle": PICKLE, "storages": b"", "tensors": b""})
    link = bytearray(tar_of({"a": b""})[:512])
    link[124:136] = b"%011o\0" % (len(hidden) // 512 * 512)
    link[156:157] = b"2"
    link[157:158] = b"b"
    return _resummed(bytes(link)) + hidden


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return out.getvalue()


def _flagged(content: bytes) -> bytes:
    """A plain archive that says that it is encrypted."""
    changed = bytearray(content)
    at = changed.find(b"PK\1\2")
    while at >= 0:
        changed[at + 8] |= 1
        at = changed.find(b"PK\1\2", at + 1)
    changed[6] |= 1
    return bytes(changed)


def _many_then(evil: bytes) -> bytes:
    """Hundreds of findings that are no alarm, then the one that is."""
    first, *rest = members(dump({"w": W, "x": Call(Raw(b"\x82\x07"), ("m",))}))
    return archive(*[Member(b"m/f%d.py" % number, b"x=1") for number in range(300)], first, *rest) + evil


def _decoys() -> bytes:
    """Twelve hundred values of bytes, then a file that torch itself loads from bytes."""
    load = Call(Name("torch.storage", "_load_from_bytes"), (torch_zip(PICKLE),))
    return torch_zip(dump({"w": W, "d": [b"decoy%d" % number for number in range(1200)], "x": load}, 4))


def _joblib_zlib() -> bytes:
    return b"ZF" + hex(len(PICKLE)).ljust(19).encode() + zlib.compress(PICKLE)


def _joblib_passes(
    payload: bytes, name: bytes = b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n", before: bytes = b""
) -> bytes:
    """An array of two bytes in joblib's way, which begin a harmless value for pickle; behind them joblib goes on with what pickle takes for it."""
    dtype = b"cnumpy\ndtype\n(\x8c\x02u1\x89\x88tR(K\x03\x8c\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    fields = b"\x8c\x08subclasscnumpy\nndarray\n\x8c\x05shapeK\x02\x85\x8c\x05order\x8c\x01C\x8c\x05dtype" + dtype
    described = before + name + b")\x81}(" + fields + b"\x8c\nallow_mmap\x89ub"
    return b"\x80\x04" + described + b"C" + bytes([len(payload)]) + payload + b"00N."


_JOBLIB_RUNS = b"0cposix\nmkdir\n\x8c\x06marker\x85R0NN"
_DOTTED = b"\x8c\x06joblib\x8c\x1enumpy_pickle.NumpyArrayWrapper\x93"
_SETSTATE = Build(New(Name("functools", "partial"), (Name("builtins", "int"),)), (MKDIR, ("marker",), {}, None))
_TYPE = Call(Name("torch._tensor", "_rebuild_from_type_v2"), (MKDIR, Name("torch", "Tensor"), ("marker",), {}))
_LIBRARY = Name("torch.nn.functional", "handle_torch_function")

EVASIONS: dict[str, tuple[str, bytes]] = {  # name of the file and its content, by what it tries
    # compressed
    "second gzip member": ("model.pt.gz", gzip.compress(b"") + gzip.compress(PICKLE)),
    "second bzip2 stream": ("model.pt.bz2", bz2.compress(b"") + bz2.compress(PICKLE)),
    "second xz stream": ("model.pt.xz", lzma.compress(b"") + lzma.compress(PICKLE)),
    "lzma with a small dictionary": (
        "model.joblib",
        lzma.compress(PICKLE, lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16}]),
    ),
    "joblib's own zlib": ("model.joblib", _joblib_zlib()),
    "array of joblib's that pickle takes for a value": ("model.joblib", _joblib_passes(_JOBLIB_RUNS)),
    "the same without lines": ("model.joblib", _joblib_passes(b"0\x8c\x05posix\x8c\x05mkdir\x93\x8c\x06marker\x85R0NN")),
    "the same, then a fault": ("model.joblib", _joblib_passes(_JOBLIB_RUNS[:-2] + b"\xff")),
    "the same behind what only Python reads": ("model.joblib", _joblib_passes(_JOBLIB_RUNS, before=b"\x96\x01\0\0\0\0\0\0\0a\x980")),
    "the same with the dot elsewhere": ("model.joblib", _joblib_passes(_JOBLIB_RUNS, name=_DOTTED)),
    "gzip in gzip": ("model.gz", gzip.compress(gzip.compress(PICKLE))),
    "tar in gzip": ("model.tgz", gzip.compress(tar_of({"a/model.pth": torch_zip(PICKLE)}))),
    # numpy
    "npy header in double quotes": ("a.npy", _header('{"descr": "|O", "fortran_order": False, "shape": (1,), }', PICKLE)),
    "npy descr put together": ("a.npy", _header("{'de' 'scr': '|' 'O', 'fortran_order': False, 'shape': (1,), }", PICKLE)),
    "npy that escapes its O": ("a.npy", _header("{'descr': '\\x7cO', 'fortran_order': False, 'shape': (1,), }", PICKLE)),
    "npy of records": ("a.npy", _header("{'descr': [('a', '<i4'), ('b', 'O')], 'fortran_order': False, 'shape': (1,), }", PICKLE)),
    "npy that is a pickle": ("a.npy", PICKLE),
    # tar
    "tar with a signed sum": ("model.pt", _signed_sum()),
    "tar with an odd sum": ("model.pt", _odd_digits()),
    "tar member of unknown type": ("model.pt", _tar("pickle", PICKLE, type=b"Z")),
    "tar link with a size": ("model.pt", _link_with_size()),
    "tar name of pax": ("model.pt", _tar("p" * 150 + "/data.bin", PICKLE)),
    # bare pickles
    "first opcode a set": ("model.bin", b"\x8f0" + _OBSCURED),
    "first opcode a byte array": ("model.bin", b"\x96\x01\0\0\0\0\0\0\0a0" + _OBSCURED),
    "first opcode a long": ("model.bin", b"\x8b\x01\0\0\0\x010" + _OBSCURED),
    "first opcode a long text": ("model.bin", b"\x8d\x01\0\0\0\0\0\0\0a0" + _OBSCURED),
    "number with a leading zero": ("model.bin", b"I010\n0" + _OBSCURED),
    "escape that is none": ("model.bin", b"S'\\8'\n0" + _OBSCURED),
    "extension first": ("model.bin", b"\x82\x07(S'marker'\ntR."),
    "unknown function, no PROTO": ("model.bin", b"cposix\nmkdir\n(S'marker'\ntR\xff"),
    # zip
    "plain record said to be encrypted": ("model.pt", _flagged(torch_zip(PICKLE))),
    "pickle with a text's name": ("pack.zip", zipped({"notes.txt": PICKLE})),
    "pickle with no name": ("pack.zip", archive(Member(b"", PICKLE))),
    "archive behind an image": ("model.png", b"\x89PNG\r\n\x1a\n" + bytes(100) + torch_zip(PICKLE)),
    "archive behind a pickle": ("model.bin", dump({"a": 1}) + torch_zip(PICKLE)),
    "pickle behind an archive": ("model.pt", _CLEAN + PICKLE),
    "many small findings": ("model.pt", _many_then(b"")),
    "many decoys": ("model.pt", _decoys()),
    "weights hold the pickle": ("model.pt", archive(*members(dump({"w": W}), weights=PICKLE))),
    "five deep": ("a.zip", zipped({"b.zip": zipped({"c.tar": tar_of({"d.gz": gzip.compress(zipped({"e": PICKLE}))})})})),
    # names and calls
    "state of a partial": ("model.pt", torch_zip(dump({"w": W, "x": Call(_SETSTATE)}))),
    "tensor's own constructor": ("model.pt", torch_zip(dump({"w": W, "x": _TYPE}))),
    "append that is a function": (
        "model.pt",
        torch_zip(dump({"w": W, "x": Raw(encode(Build(Call(Name("types", "SimpleNamespace")), {"append": MKDIR}), 2) + encode("m", 2) + b"a")})),
    ),
    "name through the memo, reversed": ("model.pt", torch_zip(dump({"w": W, "x": Call(Name("posix", "mkdir", "memo"), ("m",))}))),
    "endless list": ("model.pt", torch_zip(dump({"w": W, "x": Call(Name("builtins", "list"), (Call(Name("itertools", "count")),))}))),
    "endless set": ("model.pt", torch_zip(dump({"w": W, "x": Call(Name("builtins", "set"), (Call(Name("itertools", "count")),))}))),
    "endless deque": ("model.pt", torch_zip(dump({"w": W, "x": Call(Name("collections", "deque"), (Call(Name("itertools", "repeat"), (0,)),))}))),
    "range of terabytes": ("model.pt", torch_zip(dump({"w": W, "x": Call(Name("builtins", "list"), (Call(Name("builtins", "range"), (1 << 45,)),))}))),
    "array of terabytes": ("model.pt", torch_zip(dump({"w": W, "x": Call(Name("numpy.core.multiarray", "_reconstruct"), (Name("numpy", "ndarray"), (1 << 45,), b"b"))}))),
    "fraction of a billion digits": ("model.pt", torch_zip(dump({"w": W, "x": Call(Name("fractions", "Fraction"), ("1e999999999",))}))),
    "function of torch in a constructor": ("model.pt", torch_zip(dump({"w": W, "x": Call(Name("torch._tensor", "_rebuild_from_type_v2"), (_LIBRARY, Name("torch", "Tensor"), (1,), {}))}))),
    "module through a dotted name": ("model.pt", torch_zip(dump({"w": W, "x": Call(Name("torch", "package.PackageImporter"), ("m",))}, 4))),
    "homoglyph": ("model.pt", torch_zip(dump({"w": W, "x": Call(Name("p\u043esix", "system", "stack"), ("m",))}, 4))),
    "name behind other letters": ("model.pkl", b"\x80\x02}\xffccos\nsystem\n(S'true'\ntR."),
    # programs of others
    "pickle in base64": ("model.pt", torch_zip(dump({"w": W, "x": base64.b64encode(dump(_RUN, 4)).decode()}))),
    "pickle in hexadecimal": ("model.pt", torch_zip(dump({"w": W, "x": dump(_RUN, 2).hex()}))),
    "Keras source": ("model.h5", b'\x89HDF\r\n\x1a\n{"class_name": "Lambda", "config": {"function": "lambda x: eval(x)"}}'),
    "Keras bytecode": ("model.keras", zipped({"config.json": b'{"class_name": "Lambda", "config": {"function": ["4wEAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", null, null]}}'})),
    "Keras bytecode in HDF5": ("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(64) + b'{"class_name": "__lambda__", "config": {"code": "4wEA"}}'),
    "Keras bytecode in a pickle": (
        "m.pkl",
        dump(Call(Name("keras.src.saving.pickle_utils", "deserialize_model_from_bytecode"), (zipped({"config.json": b'{"class_name": "__lambda__"}'}),)), 4),
    ),
    "Keras bytecode of TensorFlow": ("keras_metadata.pb", b'\x0a\x10{"class_name": "Lambda", "config": {"function_type": "lambda"}}'),
    "TensorFlow writes a file": ("saved_model.pb", b"\x12!\x12\x1f\n\x0f\n\x05write\x12\x09WriteFile"),
    "TorchScript reads a file": ("m.pt", zipped({"m/code/__torch__.py": b'x = torch.from_file("/etc/passwd", False, 9)', "m/constants.pkl": dump(())})),
}  # fmt: skip
