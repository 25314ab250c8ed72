"""The seed corpus, generated: a few small valid files of each kind, which the mutators start from. Nothing here needs torch."""

import bz2
import gzip
import io
import json
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
from formats.ggufs import Entry, gguf
from formats.joblib_file import JOBLIB
from formats.zips import Member, archive
from hostile.assemble import Build, Call, Name, New, Old, dump, storage, tensor
from hostile.containers import CONTAINERS, WEIGHTS, members, tar_of, torch_zip
from hostile.payloads import PATHS

SHIPPED = Path(__file__).parents[2]
_ORDERED = Name("collections", "OrderedDict")


def trees() -> list[object]:
    """What checkpoints hold, as the assembler takes it."""
    w = tensor("0", (2, 2))
    return [
        {"w": w, "b": tensor("0", (2,), 4, offset=2)},
        {"model": {"layer.0.weight": w}, "epoch": 3, "lr": 0.1, "name": "net", "done": True, "none": None},
        {
            "optimizer": {
                "state": {0: {"step": 1, "exp_avg": w}},
                "param_groups": [{"params": [0], "betas": (0.9, 0.99)}],
            }
        },
        {"state": Build(Call(_ORDERED), {"_metadata": Call(_ORDERED)})},
        {"p": Call(Name("torch._utils", "_rebuild_parameter"), (w, True, Call(_ORDERED)))},
        {"o": Build(New(Name("pkg.mod", "Thing"), (1, "a")), {"x": [1, 2], "y": (3,)})},
        {"old": Old(Name("pkg", "Old"), (1,)), "set": Call(Name("builtins", "set"), ([1, 2],))},
        {"size": Call(Name("torch", "Size"), ((1, 2),)), "bytes": b"abc", "big": 1 << 70, "float": -0.5},
        {"d": Call(Name("collections", "defaultdict"), (Name("builtins", "list"),)), 7: "seven"},
        New(Name("pkg.net", "Net")),
    ]


def pickles() -> list[bytes]:
    return [dump(tree, protocol) for protocol in range(6) for tree in trees()]


def bare_pickles() -> list[bytes]:
    """Arrays as NumPy and joblib pickle them, and a tensor whose storage is a torch.save file of its own."""
    arrays = {
        "w": np.ones((20, 4)),
        "b": np.arange(3, dtype=">i2"),
        "t": np.array(["a"]),
        "raw": b"x" * 300,
        "s": "y" * 300,
    }
    own = CONTAINERS["legacy"](dump(storage("0", 4)))
    rebuilt = Call(
        Name("torch._utils", "_rebuild_tensor_v2"),
        (Call(Name("torch.storage", "_load_from_bytes"), (own,)), 0, (2, 2), (2, 1), False, Call(_ORDERED)),
    )
    return [
        *(pickle.dumps({"model": arrays, "again": arrays["w"]}, protocol) for protocol in range(6)),
        *(dump({"w": rebuilt}, protocol) for protocol in (2, 4)),
        JOBLIB,
    ]


def torch_zips() -> list[bytes]:
    return [torch_zip(dump(tree, protocol)) for protocol in (2, 4) for tree in trees()] + [
        archive(*members(dump(trees()[0])), zip64=True)
    ]


def torch_scripts() -> list[bytes]:
    """TorchScript archives: a module with a weight, one inside it, and a constant."""
    inner = Build(New(Name("__torch__", "Inner")), {"training": True, "weight": tensor("0", (2, 2)), "k": 3})
    root = Build(New(Name("__torch__", "Outer")), {"lin": inner, "names": ["a", "b"], "scale": tensor("0", (2,), 4)})
    made = []
    for constants in ((), (tensor("0", (2,), 4),)):
        first, *rest = members(dump(root))
        source = b"class Outer(Module):\n  __parameters__ = []\n  lin : __torch__.Inner\n"
        more = [Member(b"m/code/__torch__.py", source), Member(b"m/constants.pkl", dump(constants))]
        made.append(archive(first, *more, *rest, Member(b"m/constants/0", WEIGHTS)))
    return made


def torch_exports() -> list[bytes]:
    """Archives of torch.export: weights as views of raw records, and the older form with one torch zip inside."""
    meta = {"dtype": 7, "sizes": [{"as_int": 2}, {"as_int": 2}], "strides": [{"as_int": 2}, {"as_int": 1}]}
    meta |= {"storage_offset": {"as_int": 0}, "layout": 7, "requires_grad": True, "device": {"type": "cpu"}}
    weight = {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": meta}
    config = json.dumps({"config": {"lin.weight": weight, "tied": {**weight, "is_param": False}}}).encode()
    records = {
        "archive_format": b"pt2", "archive_version": b"0", "byteorder": b"little", ".data/version": b"6",
        "models/model.json": b"{}", "data/weights/model_weights_config.json": config, "data/weights/weight_0": WEIGHTS,
    }  # fmt: skip
    old = {"version": b"6", "serialized_exported_program.json": b"{}"}
    old["serialized_state_dict.pt"] = torch_zip(dump(trees()[0]))
    return [
        archive(*(Member(f"m/{name}".encode(), content) for name, content in records.items())),
        archive(*(Member(name.encode(), content) for name, content in old.items())),
    ]


def legacies() -> list[bytes]:
    return [CONTAINERS["legacy"](dump(tree, protocol)) for protocol in (2, 3) for tree in trees()[:2]]


def tars() -> list[bytes]:
    """The format before 0.1.10: two tensors over one storage, one of them over a part of it."""
    stored = dump(1) + dump((1, "cpu", Name("torch", "FloatStorage"))) + struct.pack("<q", 4) + WEIGHTS
    whole = dump((5, 1, None)) + struct.pack("<iI2q2qq", 2, 0, 2, 2, 2, 1, 0)
    part = dump((6, 2, None)) + struct.pack("<iIqqq", 1, 0, 2, 1, 0)
    files = {"sys_info": dump({}), "storages": stored + dump([(2, 1, 2, 2)]), "tensors": dump(2) + whole + part}
    return [tar_of({"pickle": b"\x80\x02}(X\x01\0\0\0wK\x05QX\x01\0\0\0vK\x06Qu.", **files})]


def safetensors() -> list[bytes]:
    heads = [
        {"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}},
        {
            "__metadata__": {"format": "pt"},
            "a.b": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
            "c": {"dtype": "I64", "shape": [], "data_offsets": [4, 12]},
            "d": {"dtype": "U8", "shape": [0, 4], "data_offsets": [12, 12]},
            "e": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [12, 16]},
        },
    ]
    files = []
    for head in heads:
        text = json.dumps(head).encode()
        text += b" " * (-len(text) % 8)
        files.append(struct.pack("<Q", len(text)) + text + WEIGHTS)
    return files


def ggufs() -> list[bytes]:
    metadata = {"a": ("u32", 1), "t": ("array", ("text", ["x", "yz"])), "general.alignment": ("u32", 32)}
    entries = [Entry("w", (2, 2), 0, bytes(16)), Entry("q", (1, 32), 2, bytes(18))]
    return [gguf(metadata, entries), gguf({}, entries[:1], order=">"), gguf(metadata, [])]


def flaxes() -> list[bytes]:
    body = b"\x93\x92\x02\x02\xa7float32\xc4\x10" + bytes(16)
    array = b"\xc7" + bytes([len(body)]) + b"\x01" + body
    return [b"\x82\xa6params\x81\xa1w" + array + b"\xa4step\xcd\x01\x00", b"\xde\x00\x01\xa1a" + array]


def npys() -> list[bytes]:
    texts = (
        "'<f4', 'fortran_order': False, 'shape': (2, 2)",
        "'>i2', 'fortran_order': True, 'shape': (4,)",
        "'<U1', 'fortran_order': False, 'shape': ()",
    )
    heads = [f"{{'descr': {text}, }}".ljust(69).encode() + b"\n" for text in texts]
    lengths = (16, 8, 4)
    return [b"\x93NUMPY\1\0\x46\0" + head + bytes(length) for head, length in zip(heads, lengths, strict=True)]


def archives() -> list[bytes]:
    made = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as packed:
            entry = tarfile.TarInfo("f" * 120 + "/m.safetensors" if form != tarfile.USTAR_FORMAT else "m.safetensors")
            entry.size = len(safetensors()[0])
            packed.addfile(entry, io.BytesIO(safetensors()[0]))
        made.append(file.getvalue()[:4096])
    return made


def indexes() -> list[bytes]:
    return [
        json.dumps({"metadata": {"total_size": 16}, "weight_map": {"w": "shard-1.safetensors"}}).encode(),
        json.dumps({"metadata": {}, "weight_map": {"w": "shard-1.safetensors", "b": "../b.bin"}}, indent=1).encode(),
    ]


def schemas() -> list[bytes]:
    return [b'{"w": "f32[4,8]", "b": [8], "e": {"dtype": "float16", "shape": [2]}}']


def others() -> list[bytes]:
    """One of every container, and what compresses one."""
    body = dump(trees()[0])
    made = [make(body) for make in CONTAINERS.values()]
    return [
        *made,
        gzip.compress(safetensors()[0], mtime=0),
        bz2.compress(safetensors()[1]),
        ggufs()[0],
    ]


def scanned() -> list[bytes]:
    """Hostile files in every container, and honest ones."""
    payloads = [make("marker", protocol) for make in PATHS.values() for protocol in (0, 2, 4)]
    return [*payloads, *(make(payloads[0]) for make in CONTAINERS.values()), *others(), *torch_zips()]


def migrations() -> list[bytes]:
    texts = [path.read_bytes() for path in sorted((SHIPPED / "migrations").glob("*.yaml"))]
    return [*texts, (SHIPPED / "tests/documents/grammar.yaml").read_bytes()]


def rules() -> list[bytes]:
    return [path.read_bytes() for path in sorted((SHIPPED / "rules").glob("*.yaml"))]


def locks() -> list[bytes]:
    from ckptlint.core.schema import Schema
    from ckptlint.core.spec import TensorSpec
    from ckptlint.documents.lock import write_lock

    specs = {f"layers.{i}.{name}": TensorSpec.parse("f32[4,8]") for i in range(4) for name in ("weight", "bias")}
    schemas = [Schema(specs), Schema({**specs, "head": TensorSpec.parse("bf16[8]")}, ties=(("head", "layers.0.bias"),))]
    return [write_lock(schema, model="net", factory="net:Net").encode() for schema in schemas]


def configs() -> list[bytes]:
    return [
        b'[tool.ckptlint]\nschema = 1\nselect = ["CK"]\n\n[tool.ckptlint.models.net]\nfactory = "net:Net"\n',
        b'[tool.ckptlint]\nignore = [{code = "CKK101", keys = "a.*", reason = "r"}]\nfail-on = "warning"\n',
    ]
