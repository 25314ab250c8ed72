"""What the attacks of the second look are put together from: opcodes, containers, files."""

import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

Builder = Callable[[Path, str], Path]

DANGER = frozenset({"CKC311"})
COMPUTED = frozenset({"CKC311", "CKC321"})


class Attack(NamedTuple):
    """One file: its builder, and the codes one of which has to be found."""

    build: Builder
    codes: frozenset[str]


def text(value: str) -> bytes:
    """The opcodes of a text, protocol 1."""
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def named(module: str, name: str) -> bytes:
    """A GLOBAL, or from protocol 4 on, where the name has dots, a STACK_GLOBAL."""
    if "." in name:
        return text(module) + text(name) + b"\x93"
    return b"c" + f"{module}\n{name}\n".encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """A REDUCE of a name with arguments that are opcodes."""
    return named(module, name) + b"(" + b"".join(arguments) + b"tR"


def whole(body: bytes, protocol: int = 4) -> bytes:
    """A pickle of its own."""
    return (b"\x80" + bytes([protocol]) if protocol >= 2 else b"") + body + b"."


def bomb(marker: str) -> bytes:
    """The pickle that would make the marker."""
    return whole(call("posix", "mkdir", text(marker)), 2)


def harmless() -> bytes:
    """A pickle of an empty dict."""
    return whole(b"}", 2)


def put(folder: Path, name: str, content: bytes) -> Path:
    """Write one file, with its folders."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of those members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def torch_zip(data: bytes, *more: tuple[str, bytes]) -> bytes:
    """A zip as torch.save writes it, with that data.pkl."""
    return zipped(("a/data.pkl", data), ("a/byteorder", b"little"), *more, ("a/version", b"3\n"))


def tarred(*members: tuple[str, bytes]) -> bytes:
    """A tar of those members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
VERSION = b"\x80\x02M\xe9\x03."
SYSTEM = whole(b"}(" + text("little_endian") + b"\x88u", 2)
NO_KEYS = whole(b"]", 2)


def legacy(place: int, evil: bytes) -> bytes:
    """torch's stacked pickles with an evil one at that place."""
    parts = [MAGIC, VERSION, SYSTEM, harmless(), NO_KEYS]
    parts[place] = evil
    return b"".join(parts)


def npy(descr: str, body: bytes, version: int = 1, shape: str = "(1,)") -> bytes:
    """A .npy with that description."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(117) + "\n"
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header.encode() + body


def safetensors(header: bytes, body: bytes) -> bytes:
    """A safetensors file."""
    return struct.pack("<Q", len(header)) + header + body


def gguf(pairs: dict[str, str], tail: bytes = b"") -> bytes:
    """A GGUF file of texts alone."""

    def string(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    body = b"".join(string(key) + struct.pack("<I", 8) + string(value) for key, value in pairs.items())
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + body + tail


def bare(body: Callable[[str], bytes], name: str = "a.pkl", protocol: int = 4) -> Builder:
    """A builder of one bare pickle."""
    return lambda folder, marker: put(folder, name, whole(body(marker), protocol))


def in_zip(body: Callable[[str], bytes]) -> Builder:
    """A builder of a torch zip with that in its data.pkl."""
    return lambda folder, marker: put(folder, "a.pt", torch_zip(whole(body(marker))))


def filed(name: str, content: Callable[[str], bytes]) -> Builder:
    """A builder of one file."""
    return lambda folder, marker: put(folder, name, content(marker))


def evil_python(marker: str) -> str:
    """An expression that would make the marker."""
    return f"__import__('os').mkdir({marker!r})"


def keras_layer(marker: str) -> bytes:
    """A Keras config whose layer is a function of the os module."""
    layer = {"module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"}
    layers = [
        {"module": "keras.layers", "class_name": "Lambda", "config": {"function": layer, "arguments": {"path": marker}}}
    ]
    return json.dumps({"module": "keras", "class_name": "Sequential", "config": {"layers": layers}}).encode()


def pt2(*more: tuple[str, bytes]) -> bytes:
    """A torch.export archive."""
    first = (("m/archive_format", b"pt2"), ("m/archive_version", b"0"), ("m/byteorder", b"little"))
    return zipped(*first, ("m/.data/version", b"6"), *more)


def pt2_pickled(folder: Path, marker: str) -> Path:
    """Weights of a pt2 that are a pickle."""
    config = {"config": {"w": {"path_name": "weight_0", "is_param": True, "use_pickle": True, "tensor_meta": None}}}
    weights = (("m/data/weights/model_weights_config.json", json.dumps(config).encode()),)
    return put(
        folder,
        "a.pt2",
        pt2(("m/models/model.json", b"{}"), *weights, ("m/data/weights/weight_0", torch_zip(bomb(marker)))),
    )


def tar_with_pickle_name(folder: Path, marker: str) -> Path:
    """A tar whose first member's name is a pickle."""
    name = f"cposix\nmkdir\n(S'{marker}'\ntR.".encode()
    entry = bytearray(tarred(("x" * 60, b"abc")))
    entry[:100] = name[:100].ljust(100, b"\0")
    entry[148:156] = b" " * 8
    entry[148:156] = b"%06o\0 " % sum(entry[:512])
    return put(folder, "a.tar", bytes(entry))


def dcp(folder: Path, metadata: bytes, part: bytes) -> Path:
    """A distributed checkpoint."""
    put(folder, "dcp/.metadata", metadata)
    put(folder, "dcp/__0_0.distcp", part)
    return folder / "dcp"


def old_joblib(folder: Path, marker: str) -> Path:
    """The compressed file of joblib before 0.10."""
    body = bomb(marker)
    return put(folder, "a.pkl.z", b"ZF" + hex(len(body)).encode().ljust(19) + zlib.compress(body))


def joblib_array(marker: str) -> bytes:
    """A joblib file: a wrapper, then the pickle of an array of objects, then the rest."""
    wrapper = named("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81}("
    state = [
        text("subclass") + named("numpy", "ndarray"),
        text("shape") + b"K\x01\x85",
        text("order") + text("C"),
        text("dtype") + call("numpy", "dtype", text("O8")),
        text("allow_mmap") + b"\x89",
    ]
    return b"\x80\x04" + wrapper + b"".join(state) + b"ub" + bomb(marker) + b"."


def trampoline(module: str, name: str, argument: Callable[[str], str]) -> Callable[[str], bytes]:
    """A call of NumPy's own constructor, which calls what it is given."""
    return lambda marker: call("numpy.random._pickle", "__generator_ctor", text(argument(marker)), named(module, name))


def hooked(module: str, name: str, argument: Callable[[str], str]) -> Callable[[str], bytes]:
    """A whole module with a hook: what it names runs when the module does."""

    def body(marker: str) -> bytes:
        partial = call("functools", "partial", named(module, name), text(argument(marker)))
        hooks = call("collections", "OrderedDict") + b"K\x00" + partial + b"s"
        return named("torch.nn.modules.linear", "Identity") + b")\x81}" + text("_forward_hooks") + hooks + b"sb"

    return body


def spread(folder: Path, index: dict[str, str], *files: tuple[str, bytes]) -> Path:
    """A sharded checkpoint."""
    put(folder, "s/pytorch_model.bin.index.json", json.dumps({"metadata": {}, "weight_map": index}).encode())
    for name, content in files:
        put(folder, f"s/{name}", content)
    return folder / "s"


def remote(folder: Path, marker: str) -> Path:
    """A model folder that wants code of its own to run."""
    put(folder, "hf/config.json", json.dumps({"model_type": "x", "auto_map": {"AutoModel": "modeling_x.X"}}).encode())
    put(folder, "hf/modeling_x.py", f"import os\nos.mkdir({marker!r})\n".encode())
    put(folder, "hf/model.safetensors", safetensors(b"{}      ", b""))
    return folder / "hf"


TEMPLATE = "{{ cycler.__init__.__globals__.os.mkdir('%s') }}"
SPREAD_TEMPLATE = "{{ ''|" + " " * 21 + "attr('__cla'~'ss__') }}"
QUIET_TEMPLATE = "{{ cycler|attr('\\x5f\\x5finit\\x5f\\x5f')|attr('\\x5f\\x5fglobals\\x5f\\x5f') }}{# %s #}"
SCRIPT = (
    "class M(Module):\n  __parameters__ = []\n  __buffers__ = []\n"
    "  def forward(self: __torch__.M) -> Tensor:\n    return torch.from_file({0!r}, True, 1)\n"
)


def script(marker: str, source: str) -> bytes:
    """A TorchScript archive."""
    return torch_zip(
        whole(named("__torch__", "M") + b")\x81}b", 2),
        ("a/constants.pkl", whole(b")", 2)),
        ("a/code/__torch__.py", source.format(marker).encode()),
    )
