"""Attacks of the second look that are in the opcodes and names of a pickle."""

import struct

from hostile.second_look_parts import (
    COMPUTED,
    DANGER,
    Attack,
    bare,
    bomb,
    call,
    evil_python,
    filed,
    harmless,
    hooked,
    in_zip,
    legacy,
    named,
    text,
    trampoline,
)

IN_PICKLES: dict[str, Attack] = {
    # the opcodes
    "p0": Attack(filed("a.pkl", lambda m: f"cposix\nmkdir\n(S{m!r}\ntR.".encode()), DANGER),
    "p0-as-text": Attack(filed("notes.txt", lambda m: f"cposix\nmkdir\n(S{m!r}\ntR.".encode()), DANGER),
    "p1-inst": Attack(filed("a.bin", lambda m: f"(S{m!r}\niposix\nmkdir\n.".encode()), DANGER),
    "escaped-unicode": Attack(
        filed("a.pkl", lambda m: f"V\\u0070osix\nVm\\u006bdir\n\x93(V{m}\ntR.".encode("latin1")), DANGER
    ),
    "obj": Attack(bare(lambda m: b"(" + named("logging", "FileHandler") + text(m) + b"o"), DANGER),
    "newobj-ex": Attack(
        bare(lambda m: named("subprocess", "Popen") + b"(" + text("touch " + m) + b"t}" + text("shell") + b"\x88s\x92"),
        DANGER,
    ),
    "reconstructor": Attack(
        bare(
            lambda m: call(
                "copyreg", "_reconstructor", named("logging", "FileHandler"), named("logging", "FileHandler"), text(m)
            )
        ),
        DANGER,
    ),
    "rot13-name": Attack(
        bare(
            lambda m: (
                text("posix") + call("codecs", "decode", text("zxqve"), text("rot13")) + b"\x93(" + text(m) + b"tR"
            )
        ),
        COMPUTED,
    ),
    "mapped": Attack(
        bare(
            lambda m: call(
                "builtins", "bytes", call("builtins", "map", named("posix", "mkdir"), b"](" + text(m) + b"e")
            )
        ),
        DANGER,
    ),
    "bytes-in-bytes": Attack(
        bare(lambda m: call("_pickle", "loads", b"B" + struct.pack("<I", len(bomb(m))) + bomb(m))), DANGER
    ),
    "load-from-bytes": Attack(
        bare(
            lambda m: call(
                "torch.storage",
                "_load_from_bytes",
                b"B" + struct.pack("<I", len(legacy(3, bomb(m)))) + legacy(3, bomb(m)),
            )
        ),
        DANGER,
    ),
    "no-stop": Attack(filed("a.pkl", lambda m: bomb(m)[:-1]), DANGER),
    "second-pickle": Attack(filed("a.pkl", lambda m: harmless() + bomb(m)), DANGER),
    "third-after-noise": Attack(filed("a.pkl", lambda m: harmless() + b"\0" * 64 + bomb(m)), DANGER),
    "protocol-255": Attack(
        filed("a.pkl", lambda m: b"\x80\x05" + call("posix", "mkdir", text(m)) + b"0\x80\xff."), DANGER
    ),
    # doors with a harmless face
    "path-touch": Attack(
        bare(lambda m: call("pathlib", "PosixPath.mkdir", call("pathlib", "PosixPath", text(m)))), DANGER
    ),
    "log-file": Attack(bare(lambda m: call("logging", "FileHandler", text(m))), DANGER),
    "sqlite": Attack(bare(lambda m: call("sqlite3", "connect", text(m))), DANGER),
    "numpy-memmap": Attack(
        bare(lambda m: call("numpy", "memmap", text(m), text("uint8"), text("w+"), b"K\x00K\x01\x85")), DANGER
    ),
    "numpy-runstring": Attack(bare(lambda m: call("numpy.testing", "runstring", text(evil_python(m)), b"}")), DANGER),
    "numpy-tofile": Attack(bare(lambda m: call("numpy", "ndarray.tofile", b"N", text(m))), DANGER),
    "torch-save": Attack(in_zip(lambda m: call("torch", "save", b"N", text(m))), DANGER),
    "torch-from-file": Attack(in_zip(lambda m: call("torch", "from_file", text(m), b"\x88K\x01")), DANGER),
    "storage-from-file": Attack(
        in_zip(lambda m: call("torch", "UntypedStorage.from_file", text(m), b"\x88K\x08")), DANGER
    ),
    "torch-os": Attack(in_zip(lambda m: call("torch", "os.mkdir", text(m))), DANGER),
    "torch-module-os": Attack(in_zip(lambda m: named("torch.serialization", "os")), DANGER),
    "fx-graph": Attack(
        in_zip(
            lambda m: call(
                "torch.fx.graph_module",
                "reduce_graph_module",
                b"}" + text("_code") + text(evil_python(m)) + b"s",
                text(""),
            )
        ),
        DANGER,
    ),
    "collect-env": Attack(in_zip(lambda m: call("torch.utils.collect_env", "run", text("mkdir " + m))), DANGER),
    "sympify": Attack(bare(lambda m: call("sympy.core.sympify", "sympify", text(evil_python(m)))), DANGER),
    "pandas-eval": Attack(bare(lambda m: call("pandas.core.computation.eval", "eval", text(evil_python(m)))), DANGER),
    "pandas-read": Attack(bare(lambda m: call("pandas.io.pickle", "read_pickle", text(m))), DANGER),
    "joblib-load": Attack(bare(lambda m: call("joblib.numpy_pickle", "load", text(m))), DANGER),
    "omegaconf-save": Attack(bare(lambda m: call("omegaconf", "OmegaConf.save", b"}", text(m))), DANGER),
    "sklearn-fetch": Attack(bare(lambda m: call("sklearn.datasets", "fetch_openml", text(m))), DANGER),
    "transformers": Attack(bare(lambda m: call("transformers", "AutoModel.from_pretrained", text(m))), DANGER),
    "cloudpickle": Attack(bare(lambda m: call("cloudpickle.cloudpickle", "_builtin_type", text("CodeType"))), DANGER),
    "dill-import": Attack(bare(lambda m: call("dill._dill", "_import_module", text("posix.mkdir"))), DANGER),
    "patch-module": Attack(
        bare(lambda m: named("torch", "nn") + b"}" + text("Linear") + named("builtins", "print") + b"sb"),
        frozenset({"CKC311", "CKC324"}),
    ),
    # what is handed to a door that calls it
    "trampoline-sympify": Attack(bare(trampoline("sympy", "sympify", evil_python)), DANGER),
    "trampoline-read": Attack(bare(trampoline("pandas", "read_pickle", str)), DANGER),
    "trampoline-torch": Attack(
        in_zip(
            lambda m: call(
                "torch._tensor",
                "_rebuild_from_type_v2",
                named("torch", "save"),
                named("torch", "Tensor"),
                b"N" + text(m) + b"\x86",
                b"}",
            )
        ),
        DANGER,
    ),
    "hook-hub": Attack(in_zip(hooked("torch.hub", "load", str)), DANGER),
    "hook-save": Attack(in_zip(hooked("torch", "save", str)), DANGER),
    "hook-from-file": Attack(in_zip(hooked("torch", "from_file", str)), DANGER),
    "hook-os": Attack(in_zip(hooked("posix", "mkdir", str)), DANGER),
    "defaultdict-eval": Attack(
        bare(
            lambda m: call(
                "collections",
                "defaultdict",
                call("functools", "partial", named("sympy", "sympify"), text(evil_python(m))),
            )
        ),
        DANGER,
    ),
}
