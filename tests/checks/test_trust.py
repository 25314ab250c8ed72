"""Whom a scan trusts: torch's own list as torch has it, danger by default within known libraries."""

import operator
import pickle
import pickletools
import sys

import pytest

from ckptlint.checks.trust import Trust, judge
from ckptlint.checks.trust.names import HARMLESS, STANDARD
from ckptlint.checks.trust.weights_only import ALLOWED, BLOCKED, CALLABLE, OPCODES

DANGEROUS = [
    "os.system",
    "posix.popen",
    "nt.system",
    "subprocess.Popen",
    "builtins.eval",
    "builtins.exec",
    "__builtin__.eval",
    "builtins.__import__",
    "builtins.open",
    "builtins.compile",
    "builtins.breakpoint",
    "importlib.import_module",
    "runpy._run_code",
    "pty.spawn",
    "commands.getoutput",
    "platform.popen",
    "shutil.rmtree",
    "socket.create_connection",
    "urllib.request.urlopen",
    "webbrowser.open",
    "ctypes.CDLL",
    "pickle.loads",
    "marshal.loads",
    "operator.attrgetter",
    "operator.methodcaller",
    "functools.reduce",
    "types.FunctionType",
    "types.CodeType",
    "code.InteractiveInterpreter",
    "timeit.timeit",
    "cProfile.run",
    "doctest.debug_script",
    "idlelib.pyshell.ModifiedInterpreter",
    "lib2to3.pgen2.pgen.ParserGenerator",
    "pip.main",
    "ensurepip._run_pip",
    "pydoc.pipepager",
    "asyncio.unix_events._UnixSubprocessTransport",
    "zipimport.zipimporter",
    "logging.config.dictConfig",
    "torch.load",
    "torch.hub.load",
    "torch.jit.load",
    "torch.utils.cpp_extension.load",
    "torch.serialization.load",
    "torch._inductor.codecache.compile_file",
    "torch.fx.graph_module.reduce_graph_module",
    "torch.utils._config_module.load_config",
    "torch.distributed.rpc.rpc_sync",
    "numpy.load",
    "numpy.testing._private.utils.runstring",
    "numpy.f2py.diagnose.run_command",
    "pandas.read_pickle",
    "joblib.load",
    "dill.loads",
    "numpy.os.system",
    "torch.serialization.os.system",
    "pkg.compat.builtins.eval",
    "pkg.mod.os.system",
    "pkg.sh.popen",
    "__main__.thing.__globals__.get",
    "pkg.Thing.__init__.__globals__",
    "collections.abc.sys",
    "sympy.sympify",
    "transformers.pipeline",
    "bdb.Bdb.run",
    "trace.Trace.run",
    "ast.literal_eval",
    "_io.FileIO",
    "io.open",
    "codecs.open",
    "gzip.open",
    "tempfile.mktemp",
    "gc.get_objects",
]
HONEST = [
    "argparse.Namespace",
    "collections.deque",
    "datetime.datetime",
    "pathlib.PosixPath",
    "decimal.Decimal",
    "uuid.UUID",
    "functools.partial",
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.random._pickle.__randomstate_ctor",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
    "__builtin__.object",
    "builtins.slice",
    "types.SimpleNamespace",
    "random.Random",
    "torch.nn.modules.linear.Linear",
    "torch.optim.adam.Adam",
    "pkg.config.Config",
    "__main__.Trainer",
    "omegaconf.dictconfig.DictConfig",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "sklearn.tree._tree.Tree",
    "pandas.core.frame.DataFrame",
    "pandas._libs.internals._unpickle_block",
    "fairseq.data.dictionary.Dictionary",
    "transformers.trainer_utils.IntervalStrategy",
    "torch.distributed.checkpoint.metadata.Metadata",
    "torch.distributed.tensor.DTensor",
    "mypkg.code.Net",
    "mypkg.pickle.Store",
    "torch.storage._load_from_bytes",
    "__torch__.torch.nn.Linear",
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
]


@pytest.mark.parametrize("full", DANGEROUS)
def test_what_runs_code_is_dangerous(full):
    module, _, name = full.rpartition(".")
    assert judge(module, name, called=True).trust is Trust.DANGEROUS


@pytest.mark.parametrize("full", HONEST)
def test_what_honest_checkpoints_hold_is_not(full):
    module, _, name = full.rpartition(".")
    assert judge(module, name, called=True).trust is not Trust.DANGEROUS


def test_a_dotted_name_is_judged_by_what_it_goes_through():
    assert judge("pkg.mod", "os.system").trust is Trust.DANGEROUS
    assert judge("pkg.mod", "Outer.Inner").trust is Trust.UNKNOWN


def test_a_library_function_may_be_a_value_but_not_be_called():
    assert judge("torch.nn.functional", "relu").trust is Trust.UNKNOWN
    assert judge("torch.nn.functional", "relu", called=True).trust is Trust.DANGEROUS


@pytest.mark.parametrize(
    "full",
    [
        "werkzeug.utils import_string",
        "gensim.utils unpickle",
        "wandb.util get_module",
        "somewhere.io load",
        "hub.core fetch_weights",
    ],
)
def test_a_function_of_an_unknown_package_that_loads_by_name_may_be_a_value_but_not_be_called(full):
    module, name = full.split()
    assert judge(module, name, called=True).trust == Trust.DANGEROUS
    assert judge(module, name).trust == Trust.UNKNOWN
    assert judge(module, f"_restore_{name.title()}", called=True).trust == Trust.UNKNOWN


def test_the_standard_library_is_known_as_a_whole():
    assert set(sys.stdlib_module_names) <= STANDARD


def test_harmless_names_of_python_exist():
    """So that a misspelling does not open a hole beside a name that is then dangerous."""
    import importlib

    ours = {m: n for m, n in HARMLESS.items() if m.partition(".")[0] in STANDARD and m != "pathlib._local"}
    builtin = {"NoneType"}
    missing = [f"{m}.{x}" for m, names in ours.items() for x in names if not _has(importlib.import_module(m), x)]
    assert set(missing) <= {f"builtins.{name}" for name in builtin}


def _has(module, dotted):
    try:
        operator.attrgetter(dotted)(module)
    except AttributeError:
        return False
    return True


def test_torch_allows_these_names_and_opcodes_and_no_others():
    pytest.importorskip("torch")
    from torch import _weights_only_unpickler as unpickler

    theirs = unpickler._get_allowed_globals()
    newer = {name for name in ALLOWED - theirs.keys() if name.startswith("torch.")}  # an older torch knows fewer dtypes
    assert theirs.keys() <= ALLOWED
    assert theirs.keys() | newer == ALLOWED
    assert set(unpickler._blocklisted_modules) == BLOCKED
    assert all(callable(theirs[name]) for name in CALLABLE & theirs.keys())
    names = [name for name in vars(unpickler) if name.isupper() and isinstance(vars(unpickler)[name], bytes)]
    assert {vars(unpickler)[name][0] for name in names} == OPCODES


@pytest.mark.parametrize("kind", [int, str, range, float, bytes, list, dict, set, complex, object, bool, tuple, slice])
@pytest.mark.parametrize("protocol", range(6))
def test_a_builtin_type_is_plain_data_whatever_its_name_was(kind, protocol):
    """Protocol 2 spells `int` `__builtin__.long`, as Python 2 had it."""
    named = [arg for op, arg, _ in pickletools.genops(pickle.dumps(kind, protocol)) if op.name == "GLOBAL"]
    for module, name in (text.split(" ") for text in named):
        assert judge(module, name).trust in (Trust.KNOWN, Trust.HARMLESS), (module, name)
