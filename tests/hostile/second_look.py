"""Attacks thought up without sight of the scanner, over all containers: what builds each, and the codes one of which is found."""

import bz2
import gzip
import json
import lzma
import struct
import zipfile
import zlib

from hostile.second_look_parts import (
    DANGER,
    QUIET_TEMPLATE,
    SCRIPT,
    SPREAD_TEMPLATE,
    TEMPLATE,
    Attack,
    bomb,
    call,
    dcp,
    evil_python,
    filed,
    gguf,
    harmless,
    joblib_array,
    keras_layer,
    legacy,
    npy,
    old_joblib,
    pt2,
    pt2_pickled,
    put,
    remote,
    safetensors,
    script,
    spread,
    tar_with_pickle_name,
    tarred,
    text,
    torch_zip,
    zipped,
)
from hostile.second_look_pickles import IN_PICKLES

IN_CONTAINERS: dict[str, Attack] = {
    # torch zip, legacy, tar
    "zip-in-storage": Attack(filed("a.pt", lambda m: torch_zip(harmless(), ("a/data/0", bomb(m)))), DANGER),
    "zip-in-byteorder": Attack(
        filed("a.pt", lambda m: zipped(("a/data.pkl", harmless()), ("a/byteorder", bomb(m)), ("a/version", b"3\n"))),
        DANGER,
    ),
    "zip-extra-pickle": Attack(
        filed("a.pt", lambda m: torch_zip(harmless(), ("a/extra/tokenizer.pkl", bomb(m)))), DANGER
    ),
    "zip-in-zip": Attack(
        filed("a.zip", lambda m: zipped(("b.zip", zipped(("c.pt", torch_zip(bomb(m))), method=zipfile.ZIP_DEFLATED)))),
        DANGER,
    ),
    "zip-lzma": Attack(
        filed("a.zip", lambda m: zipped(("c.pkl", bomb(m)), method=zipfile.ZIP_LZMA)), frozenset({"CKC311", "CKC163"})
    ),
    "zip-bzip2": Attack(
        filed("a.zip", lambda m: zipped(("c.pkl", bomb(m)), method=zipfile.ZIP_BZIP2)), frozenset({"CKC311", "CKC163"})
    ),
    **{
        f"legacy-{place}": Attack(filed("a.pth", lambda m, place=place: legacy(place, bomb(m))), DANGER)
        for place in range(5)
    },
    "legacy-behind": Attack(filed("a.pth", lambda m: legacy(3, harmless()) + bomb(m)), DANGER),
    **{
        f"tar-{name}": Attack(
            filed(
                "a.pt",
                lambda m, name=name: tarred(
                    *(
                        (part, bomb(m) if part == name else harmless())
                        for part in ("sys_info", "pickle", "storages", "tensors")
                    )
                ),
            ),
            DANGER,
        )
        for name in ("sys_info", "pickle", "storages", "tensors")
    },
    "tar-of-torch": Attack(filed("a.tar", lambda m: tarred(("x/b.pt", torch_zip(bomb(m))))), DANGER),
    "tgz-of-zip": Attack(
        filed("a.tar.gz", lambda m: gzip.compress(tarred(("b.zip", zipped(("c.pt", torch_zip(bomb(m)))))))), DANGER
    ),
    "tar-name": Attack(tar_with_pickle_name, DANGER),
    # TorchScript, package, export
    "script-file": Attack(filed("a.pt", lambda m: script(m, SCRIPT)), frozenset({"CKC223"})),
    "script-constants": Attack(filed("a.pt", lambda m: torch_zip(harmless(), ("a/constants.pkl", bomb(m)))), DANGER),
    "package": Attack(
        filed(
            "a.pt",
            lambda m: zipped(
                ("a/.data/extern_modules", b"os\n"),
                ("a/model/model.pkl", bomb(m)),
                ("a/mine.py", b"import os"),
                ("a/.data/version", b"6\n"),
            ),
        ),
        DANGER,
    ),
    "pt2-pickled": Attack(pt2_pickled, DANGER),
    "pt2-inputs": Attack(
        filed(
            "a.pt2",
            lambda m: pt2(("m/models/model.json", b"{}"), ("m/data/sample_inputs/model.pt", torch_zip(bomb(m)))),
        ),
        DANGER,
    ),
    "pt2-library": Attack(
        filed(
            "a.pt2",
            lambda m: pt2(("m/models/model.json", b"{}"), ("m/data/aotinductor/model/a.so", b"\x7fELF" + bytes(60))),
        ),
        frozenset({"CKC221", "CKC223"}),
    ),
    "pt2-expression": Attack(
        filed(
            "a.pt2",
            lambda m: pt2(
                (
                    "m/models/model.json",
                    json.dumps(
                        {
                            "graph_module": {
                                "graph": {"sym_int_values": {"s0": {"as_expr": {"expr_str": evil_python(m)}}}}
                            }
                        }
                    ).encode(),
                )
            ),
        ),
        frozenset({"CKC223", "CKC322"}),
    ),
    "pt2-old": Attack(
        filed(
            "a.pt2",
            lambda m: zipped(
                ("version", b"8.3"),
                ("serialized_exported_program.json", b"{}"),
                ("serialized_state_dict.pt", torch_zip(bomb(m))),
            ),
        ),
        DANGER,
    ),
    # NumPy, joblib
    "npy-object": Attack(filed("a.npy", lambda m: npy("'|O'", bomb(m))), DANGER),
    "npy-field": Attack(filed("a.npy", lambda m: npy("[('a', '<f4'), ('b', '|O')]", bomb(m), 3)), DANGER),
    "npy-header": Attack(
        filed("a.npy", lambda m: npy(evil_python(m)[:80], b"")),
        frozenset({"CKC162", "CKC163", "CKC311", "CKC322", "CKC223"}),
    ),
    "npy-second": Attack(filed("a.npy", lambda m: npy("'<f4'", bytes(4)) + npy("'|O'", bomb(m))), DANGER),
    "npz-object": Attack(
        filed(
            "a.npz",
            lambda m: zipped(
                ("arr_0.npy", npy("'<f4'", bytes(4))), ("arr_1.npy", npy("'|O'", bomb(m))), method=zipfile.ZIP_DEFLATED
            ),
        ),
        DANGER,
    ),
    "joblib-array": Attack(filed("a.joblib", joblib_array), DANGER),
    "joblib-zlib": Attack(filed("a.joblib", lambda m: zlib.compress(joblib_array(m))), DANGER),
    "joblib-old": Attack(old_joblib, DANGER),
    # compressed
    "gz": Attack(filed("a.pt.gz", lambda m: gzip.compress(torch_zip(bomb(m)))), DANGER),
    "gz-behind": Attack(
        filed("a.pkl.gz", lambda m: gzip.compress(harmless()) + bomb(m)), frozenset({"CKC311", "CKC162"})
    ),
    "xz": Attack(filed("a.pkl.xz", lambda m: lzma.compress(bomb(m))), DANGER),
    "lzma-alone": Attack(filed("a.pkl.lzma", lambda m: lzma.compress(bomb(m), lzma.FORMAT_ALONE)), DANGER),
    "bz2-second": Attack(filed("a.pkl.bz2", lambda m: bz2.compress(harmless()) + bz2.compress(bomb(m))), DANGER),
    "zlib": Attack(filed("a.bin", lambda m: zlib.compress(bomb(m), 1)), DANGER),
    "lz4": Attack(
        filed(
            "a.pkl.lz4",
            lambda m: b"\x04\x22\x4d\x18\x60\x40\x82" + struct.pack("<I", len(bomb(m)) | 1 << 31) + bomb(m) + bytes(4),
        ),
        frozenset({"CKC311", "CKC122", "CKC163"}),
    ),
    "7z": Attack(
        filed("a.7z", lambda m: b"7z\xbc\xaf\x27\x1c" + bytes(26) + bomb(m)),
        frozenset({"CKC311", "CKC122", "CKC123", "CKC163"}),
    ),
    # polyglots
    "gif": Attack(filed("a.gif", lambda m: b"GIF89a\0\0\0000" + call("posix", "mkdir", text(m)) + b"."), DANGER),
    "bmp": Attack(
        filed("a.bmp", lambda m: b"BM\x10\0\0" + bytes(0x104D) + b"0" + call("posix", "mkdir", text(m)) + b"."),
        DANGER,
    ),
    "gguf-head": Attack(
        filed("a.gguf", lambda m: b"GGUF\3\0\0\0\0000" + call("posix", "mkdir", text(m)) + b"."), DANGER
    ),
    "zip-head": Attack(filed("a.pkl", lambda m: b"PK\x03\x04\n0" + call("posix", "mkdir", text(m)) + b"."), DANGER),
    "png-tail": Attack(filed("a.png", lambda m: b"\x89PNG\r\n\x1a\n" + bytes(64) + torch_zip(bomb(m))), DANGER),
    # safetensors, GGUF, Keras
    "safetensors-tail": Attack(
        filed("a.safetensors", lambda m: safetensors(b"{}      ", bomb(m))), frozenset({"CKC311", "CKC162"})
    ),
    "safetensors-zip": Attack(
        filed("a.safetensors", lambda m: safetensors(b"{}      ", b"") + torch_zip(bomb(m))), DANGER
    ),
    "safetensors-name": Attack(filed("a.safetensors", bomb), frozenset({"CKC161"})),
    "gguf-template": Attack(
        filed("a.gguf", lambda m: gguf({"tokenizer.chat_template": TEMPLATE % m})), frozenset({"CKC221"})
    ),
    "gguf-quiet": Attack(
        filed("a.gguf", lambda m: gguf({"tokenizer.chat_template": QUIET_TEMPLATE % m})), frozenset({"CKC221"})
    ),
    "gguf-tail": Attack(filed("a.gguf", lambda m: gguf({"a": "b"}, bytes(32) + bomb(m))), DANGER),
    "keras-os": Attack(
        filed(
            "a.keras",
            lambda m: zipped(
                ("metadata.json", b"{}"), ("config.json", keras_layer(m)), ("model.weights.h5", b"\x89HDF\r\n\x1a\n")
            ),
        ),
        frozenset({"CKC223"}),
    ),
    "keras-h5": Attack(
        filed("a.h5", lambda m: b"\x89HDF\r\n\x1a\n" + bytes(88) + b"model_config\0" + keras_layer(m)),
        frozenset({"CKC223"}),
    ),
    # folders
    "dcp-metadata": Attack(lambda f, m: dcp(f, bomb(m), torch_zip(harmless())), DANGER),
    "dcp-part": Attack(lambda f, m: dcp(f, harmless(), torch_zip(harmless()) + torch_zip(bomb(m))), DANGER),
    "dcp-bytes": Attack(lambda f, m: dcp(f, harmless(), bomb(m)), DANGER),
    "deepspeed": Attack(
        lambda f, m: (
            put(f, "d/latest", b"global_step1"),
            put(f, "d/global_step1/mp_rank_00_model_states.pt", torch_zip(harmless())),
            put(f, "d/global_step1/zero_pp_rank_0_mp_rank_00_optim_states.pt", torch_zip(bomb(m))),
            f / "d",
        )[-1],
        DANGER,
    ),
    "deepspeed-latest": Attack(
        lambda f, m: (put(f, "d/latest", b"../../etc"), put(f, "d/zero_to_fp32.py", b""), f / "d")[-1],
        frozenset({"CKC219"}),
    ),
    "index-leads-out": Attack(lambda f, m: spread(f, {"w": "..\\..\\x.bin"}), frozenset({"CKC219"})),
    "index-shard": Attack(
        lambda f, m: spread(
            f, {"w": "pytorch_model-00001-of-00001.bin"}, ("pytorch_model-00001-of-00001.bin", torch_zip(bomb(m)))
        ),
        DANGER,
    ),
    "index-odd-shard": Attack(
        lambda f, m: spread(f, {"w": "weights.txt"}, ("weights.txt", torch_zip(bomb(m)))), DANGER
    ),
    "training-args": Attack(
        lambda f, m: (put(f, "hf/config.json", b"{}"), put(f, "hf/training_args.bin", torch_zip(bomb(m))), f / "hf")[
            -1
        ],
        DANGER,
    ),
    "remote-code": Attack(remote, frozenset({"CKC221", "CKC223", "CKC116"})),
    "yaml-object": Attack(
        filed("hparams.yaml", lambda m: f"lr: !!python/object/apply:os.mkdir [{m!r}]\n".encode()),
        frozenset({"CKC223", "CKC311"}),
    ),
    "yaml-in-folder": Attack(
        lambda f, m: (
            put(f, "y/hparams.yaml", f"a: 1\nlr: !!python/object/new:os.mkdir [{m!r}]\n".encode()),
            put(f, "y/a.ckpt", torch_zip(harmless())),
            f / "y",
        )[-1],
        frozenset({"CKC223", "CKC311"}),
    ),
    "template-json": Attack(
        lambda f, m: (
            put(f, "t/tokenizer_config.json", json.dumps({"chat_template": TEMPLATE % m}).encode()),
            put(f, "t/model.safetensors", safetensors(b"{}      ", b"")),
            f / "t",
        )[-1],
        frozenset({"CKC221"}),
    ),
    "template-spread": Attack(
        lambda f, m: (
            put(f, "t/chat_template.jinja", (SPREAD_TEMPLATE + m).encode()),
            put(f, "t/model.safetensors", safetensors(b"{}      ", b"")),
            f / "t",
        )[-1],
        frozenset({"CKC221"}),
    ),
    "template-jinja": Attack(
        lambda f, m: (
            put(f, "t/chat_template.jinja", (TEMPLATE % m).encode()),
            put(f, "t/model.safetensors", safetensors(b"{}      ", b"")),
            f / "t",
        )[-1],
        frozenset({"CKC221"}),
    ),
}

ATTACKS: dict[str, Attack] = {**IN_PICKLES, **IN_CONTAINERS}
