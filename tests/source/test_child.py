"""Every way a user's model can be, and can fail: each told in one sentence that names the missing piece."""

import os

import pytest
from forked_build import build

from ckptlint.core.schema import Schema
from ckptlint.errors import ModelError, UsageError

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.skipif(not hasattr(os, "fork"), reason="builds in a fork")]

ZOO = '''
import os
import sys
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        if dim % 2:
            raise ValueError(f"dim {dim} is odd\\nand a second line")
        self.fc = nn.Linear(dim, dim)
        self.register_buffer("mask", torch.ones(dim, dtype=torch.bool), persistent=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

class Net(nn.Module):
    def __init__(self, dim=4, *, depth):
        super().__init__()
        self.emb = nn.Embedding(10, dim)
        self.layers = nn.ModuleList(Block(dim) for _ in range(depth))
        self.head = nn.Linear(dim, 10, bias=False)
        self.head.weight = self.emb.weight

class Two:
    """Not a model, but a place for some."""
    class Inner(nn.Linear):
        def __init__(self): super().__init__(2, 1)

SETTINGS = {"depth": 1}
def shared():
    block = Block(2)
    return nn.Sequential(block, nn.ReLU(), block)
def hooked():
    model = nn.Linear(2, 1)
    def forget_bias(module, state, prefix, meta): del state[prefix + "bias"]
    model._register_state_dict_hook(forget_bias)
    return model
class Renamed(nn.Linear):
    def state_dict(self):
        return {"w": self.weight.detach(), "step": 3}
def renamed(): return Renamed(2, 1)
class Views(nn.Module):
    def __init__(self):
        super().__init__()
        base = torch.zeros(4, 2)
        self.first, self.second = nn.Parameter(base[:2]), nn.Parameter(base[2:])
        self.twin, self.turned = nn.Parameter(base[:2]), nn.Parameter(base[:2].t())
        self.empty, self.void = nn.Parameter(torch.empty(0)), nn.Parameter(torch.empty(0))
class Extra(nn.Linear):
    def get_extra_state(self): return {"a": 1}
def extra(): return Extra(2, 1)
def weight_norm(): return nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
def compiled(): return torch.compile(nn.Linear(2, 1))
def parallel(): return nn.DataParallel(nn.Linear(2, 1))
def scripted(): return torch.jit.script(nn.Linear(2, 1))
def on_gpu():
    model = nn.Linear(2, 1, device="cuda").to("cuda").cuda(0).to(torch.device("cuda", 1), torch.bfloat16)
    model.register_buffer("scale", torch.ones(1).to(model.weight))
    return model.to("cpu")
def dry_run():
    model = nn.Sequential(nn.LazyLinear(3))
    model(torch.zeros(1, 5))
    return model
def lazy(): return nn.Sequential(nn.LazyLinear(3))
def reads_values(): return nn.Sequential(*[nn.Linear(2, 2) for rate in torch.linspace(0, 1, 2).tolist()])
def from_numpy():
    import numpy
    model = nn.Linear(2, 1)
    model.register_buffer("table", torch.from_numpy(numpy.zeros((2, 3), dtype="float32")))
    return model
def big_on_cpu(): return nn.Linear(2, 1 << 30, device="cpu")
def reads_values_of_big():
    torch.ones(1).item()
    return nn.Linear(2, 1 << 30)
def asks_for_a_gpu(): return torch.cuda.get_device_properties(0)
def opens(): return open("weights.bin")
def leaves(): sys.exit(3)
def reads_stdin(): return input()
def gives_nothing(): pass
def gives_pair(): return {"model": nn.Linear(2, 1), "cfg": {}}
async def gives_later(): return nn.Linear(2, 1)
def gives_text(): return "vit"
def needs_package():
    import timm_or_so
class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.child = nn.Module()
        self.child.parent = self
class Silent(Exception):
    def __str__(self): raise KeyError
def raises_silently(): raise Silent
def nothing_saved(): return nn.Flatten()
class NoMapping(nn.Linear):
    def state_dict(self, *, keep_vars=False): return [self.weight]
def no_mapping(): return NoMapping(2, 1)
class Breaks(nn.Linear):
    def state_dict(self, **options): raise RuntimeError("not today")
def breaks(): return Breaks(2, 1)
'''

FILES = {
    "zoo.py": ZOO,
    "broken.py": "import os\n\nx = (1,\n",
    "needy.py": "import os\nimport sys\nimport timm_or_so\n",
    "outdated.py": "from os import nothing_like_it\n",
    "ready.py": "import torch\nclass Two: finished = torch.nn.Linear(2, 1).cuda()\n",
    "script.py": "import argparse\np = argparse.ArgumentParser()\np.add_argument('x')\np.parse_args()\n",
    "raising.py": "settings = {}\nsettings['depth']\n",
    "lone/types.py": "from beside import Base\nclass Net(Base): pass\n",
    "lone/beside.py": "import types, torch\ntypes.SimpleNamespace()\nclass Base(torch.nn.Linear):\n    def __init__(self): super().__init__(2, 1)\n",
    "lone/relative.py": "from .beside import Base\n",
    "deep/pkg/__init__.py": "",
    "deep/pkg/layers.py": "import torch\nclass Layer(torch.nn.Linear): pass\n",
    "deep/pkg/net.py": "from .layers import Layer\ndef net(): return Layer(2, 1)\n",
    "wrong/torch/__init__.py": "",
    "wrong/torch/nn.py": "class Net: pass\n",
    "src/project/__init__.py": "",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with torch.device("meta"):
        torch.nn.Embedding(1, 1)  # what torch imports only then, each fork would import anew
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


LINEAR = ("weight: f32[1,2]", "bias: f32[1]")


def test_a_schema_has_keys_order_ties_parameters_buffers_and_classes(folder):
    built = build("zoo:Net", folder, args='{"depth": 1}', device="meta")
    assert built.schema == Schema.of(
        "emb.weight: f32[10,4]",
        "layers.0.steps: i64[]",
        "layers.0.fc.weight: f32[4,4]",
        "layers.0.fc.bias: f32[4]",
        "head.weight: f32[10,4]",
        parameters=("emb.weight", "layers.0.fc.weight", "layers.0.fc.bias"),
        ties=(("emb.weight", "head.weight"),),
        unsaved=Schema.of("layers.0.mask: bool[4]").tensors,
        modules={
            "": "zoo.Net",
            "emb": "torch.nn.modules.sparse.Embedding",
            "layers": "torch.nn.modules.container.ModuleList",
            "layers.0": "zoo.Block",
            "layers.0.fc": "torch.nn.modules.linear.Linear",
            "head": "torch.nn.modules.linear.Linear",
        },
        origin="zoo:Net",
    )
    assert built.notes == ()


def test_both_devices_give_one_schema(folder):
    on_meta, on_cpu = (build("zoo:Net", folder, args="depth: 2", device=device) for device in ("meta", "cpu"))
    assert on_meta == on_cpu


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("Two.Inner", LINEAR),
        (
            "weight_norm",
            ("bias: f32[2]", *(f"parametrizations.weight.original{n}: f32[2,{n * 2 + 1}]" for n in (0, 1))),
        ),
        ("compiled", tuple(f"_orig_mod.{line}" for line in LINEAR)),
        ("parallel", tuple(f"module.{line}" for line in LINEAR)),
        ("scripted", LINEAR),
        ("dry_run", ("0.weight: f32[3,5]", "0.bias: f32[3]")),
        ("nothing_saved", ()),
    ],
)
def test_wrapped_and_unusual_models_are_described_as_they_save(name, lines, folder):
    built = build(f"zoo:{name}", folder, device="meta")
    assert (tuple(built.schema.lines()), built.notes) == (lines, ())


def test_a_shared_module_is_tied_to_itself(folder):
    schema = build("zoo:shared", folder).schema
    names = ("steps", "fc.weight", "fc.bias")
    assert schema.ties == tuple((f"0.{name}", f"2.{name}") for name in names)
    assert schema.parameters == ("0.fc.weight", "0.fc.bias")
    assert list(schema.unsaved) == ["0.mask", "2.mask"]
    assert list(schema.modules) == ["", "0", "0.fc", "1", "2", "2.fc"]


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_only_the_same_view_of_one_storage_is_a_tie(device, folder):
    schema = build("zoo:Views", folder, device=device).schema
    assert schema.ties == (("first", "twin"),)
    assert schema.parameters == ("first", "second", "twin", "turned", "empty", "void")


def test_hooks_and_overrides_decide_what_is_saved(folder):
    hooked, renamed, extra = (build(f"zoo:{name}", folder) for name in ("hooked", "renamed", "extra"))
    assert list(hooked.schema.lines()) == ["weight: f32[1,2]"]
    assert (hooked.schema.parameters, hooked.notes) == (("weight",), ("'bias' is a parameter that is not saved",))
    assert (list(renamed.schema.lines()), renamed.schema.parameters) == (["w: f32[1,2]"], ("w",))
    assert renamed.notes == ("'step' is no tensor, and not in the schema", "'bias' is a parameter that is not saved")
    assert extra.notes == ("'_extra_state' is no tensor, and not in the schema",)


@pytest.mark.parametrize("device", ["meta", "cpu", "auto"])
def test_code_for_a_gpu_is_described_without_one(device, folder):
    built = build("zoo:on_gpu", folder, device=device)
    assert list(built.schema.lines()) == ["weight: bf16[1,2]", "bias: bf16[1]", "scale: bf16[1]"]
    assert built.notes == ("it asks for cuda, and is described without",)


def test_a_finished_module_is_taken_as_it_is(folder):
    for place in ("ready", "ready.py"):
        built = build(f"{place}:Two.finished", folder, device="meta")
        assert (tuple(built.schema.lines()), built.notes) == (LINEAR, ("it asks for cuda, and is described without",))
    with pytest.raises(UsageError, match="is a finished module and takes no arguments"):
        build("ready:Two.finished", folder, args="[3]")


@pytest.mark.parametrize(
    ("reference", "root"),
    [
        ("lone/types.py:Net", "types.Net"),
        ("lone/../lone/types.py:Net", "types.Net"),
        ("deep/pkg/net.py:net", "pkg.layers.Layer"),
        ("deep.pkg.layers:Layer", "deep.pkg.layers.Layer"),
    ],
)
def test_files_are_found_by_path_and_packages_by_their_marks(reference, root, folder):
    args = "[2, 1]" if reference.endswith(":Layer") else None
    assert build(reference, folder, args=args).schema.modules[""] == root


def test_auto_goes_to_the_cpu_where_meta_is_to_blame(folder):
    built = build("zoo:reads_values", folder)
    assert list(built.schema.lines()) == [
        "0.weight: f32[2,2]",
        "0.bias: f32[2]",
        "1.weight: f32[2,2]",
        "1.bias: f32[2]",
    ]
    assert len(built.notes) == 1
    assert built.notes[0].startswith(
        "built on the CPU, for on meta calling reads_values raised NotImplementedError at zoo.py:"
    )


def test_auto_accepts_what_is_allocated_outside_meta(folder):
    built = build("zoo:from_numpy", folder)
    assert built.notes == ("although it was built on meta, 'table' is on cpu (24 bytes)",)


META = "if that is because tensors on meta have no values, --device auto builds it on the CPU"
GPU = "take the device as an argument, or commit a lock that is written where there is one (ckptlint lock)"
FACTORY = "or name a factory function that takes none"


@pytest.mark.parametrize(
    ("reference", "device", "message", "hint"),
    [
        # on meta
        (
            "zoo:from_numpy",
            "meta",
            "it was built on meta, but 'table' is on cpu (24 bytes)",
            "--device auto accepts that",
        ),
        (
            "zoo:reads_values",
            "meta",
            "calling reads_values raised NotImplementedError at zoo.py:{line} in reads_values",
            META,
        ),
        ("zoo:big_on_cpu", "meta", "calling big_on_cpu ran out of memory at zoo.py:{line}", "it may use 2,048 MiB"),
        (
            "zoo:reads_values_of_big",
            "auto",
            "ran out of memory at zoo.py:{line+1} in reads_values_of_big",
            "it may use",
        ),
        ("zoo:reads_values_of_big", "auto", "; on meta, calling reads_values_of_big raised RuntimeError", "it may use"),
        ("zoo:asks_for_a_gpu", "auto", "calling asks_for_a_gpu needs a GPU, and there is none here", GPU),
        (
            "zoo:lazy",
            "auto",
            "'0.weight', '0.bias' of LazyLinear have no shape before the first forward pass",
            "one batch",
        ),
        # the user's own exceptions
        ("zoo:opens", "auto", "calling opens raised FileNotFoundError at zoo.py:{line} in opens: [Errno 2]", ""),
        ("zoo:leaves", "auto", "calling leaves ended the process: sys.exit(3) at zoo.py:{line} in leaves", "__main__"),
        (
            "zoo:raises_silently",
            "auto",
            "raised Silent at zoo.py:{line} in raises_silently: (its text cannot be had",
            "",
        ),
        ("zoo:needs_package", "auto", "cannot import 'timm_or_so', which zoo.py:{line} needs", "install it there"),
        (
            "zoo:breaks",
            "auto",
            "state_dict() of Breaks raised RuntimeError at zoo.py:{line-1} in Breaks.state_dict: not",
            "",
        ),
        # what comes back
        ("zoo:gives_nothing", "auto", "gives_nothing returned None, not an nn.Module", "lack a `return`"),
        ("zoo:gives_pair", "auto", "gives_pair returned a dict, not an nn.Module", "its ['model'] is one"),
        ("zoo:gives_later", "auto", "gives_later returned a coroutine, not an nn.Module", "async"),
        ("zoo:gives_text", "auto", "gives_text returned a str, not an nn.Module", ""),
        ("zoo:no_mapping", "auto", "state_dict() of NoMapping returned list, not a mapping", ""),
        ("zoo:Own", "auto", "module 'child.parent' is 'the model itself' again: it contains itself", ""),
        ("zoo:SETTINGS", "auto", "is a dict, not an nn.Module class, a factory function or a module", ""),
        ("zoo:torch", "auto", "is a Python module, not an nn.Module class", ""),
        # what is named
        (
            "zoo:Nte",
            "auto",
            "module 'zoo' has no 'Nte'; did you mean 'Net'?",
            "it defines Block, Breaks, Extra, Net, NoMapping, Own, Renamed, Views",
        ),
        ("zoo:Two.Iner", "auto", "class 'zoo.Two' has no 'Iner'; did you mean 'Inner'?", ""),
        ("zoo:Net.depth", "auto", "class 'zoo.Net' has no 'depth'", ""),
        ("zooo:Net", "auto", "there is no module 'zooo'; did you mean 'zoo'?", "it must be importable for"),
        (
            "deep.pkg.leyers:Layer",
            "auto",
            "package 'deep.pkg' has no module 'leyers'; did you mean 'deep.pkg.layers'?",
            "",
        ),
        ("zoo.net:Net", "auto", "'zoo' is a module, not a package: it has no 'net'", ""),
        ("project:Net", "auto", "there is no module 'project'", "it is in src/"),
        (
            "wrong/torch/nn.py:Net",
            "auto",
            "is module 'torch.nn' by its packages, but Python finds that at",
            "another package",
        ),
        # what it imports
        ("broken:Net", "auto", "syntax error at broken.py:3:5: '(' was never closed", ""),
        ("broken.py:Net", "auto", "syntax error at broken.py:3:5: '(' was never closed", ""),
        ("needy:Net", "auto", "cannot import 'timm_or_so', which needy.py:3 needs", "install it there"),
        ("outdated.py:Net", "auto", "cannot import name 'nothing_like_it' from 'os'", ""),
        (
            "lone/relative.py:Net",
            "auto",
            "no known parent package, which lone/relative.py:1 needs",
            "package.module:Class",
        ),
        (
            "script:Net",
            "auto",
            "importing 'script' ended the process: sys.exit(2) at script.py:4 in the module itself",
            "__main__",
        ),
        (
            "raising:Net",
            "auto",
            "importing 'raising' raised KeyError at raising.py:2 in the module itself: 'depth'",
            "",
        ),
    ],
)
def test_a_fault_is_one_sentence_that_names_the_missing_piece(reference, device, message, hint, folder):
    with pytest.raises(ModelError) as caught:
        build(reference, folder, device=device)
    assert _with_lines(message, reference) in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message
    assert caught.value.where == reference


def _with_lines(message, reference):
    """`{line}` is the line of the named function's body: its `def`, where it is written in one line."""
    name = reference.rpartition(":")[2]
    lines = ZOO.splitlines()
    start = next((n for n, line in enumerate(lines, 1) if f"def {name}(" in line), 0)
    body = start if lines[start - 1].rstrip()[-1:] != ":" else start + 1
    return message.replace("{line}", str(body)).replace("{line+1}", str(body + 1)).replace("{line-1}", str(body - 1))


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (None, "Net needs 'depth'", f"""pass --args '{{"depth": ...}}', {FACTORY}"""),
        ("dim: 8", "Net needs 'depth'", f"""pass --args '{{"dim": 8, "depth": ...}}', {FACTORY}"""),
        ("[8]", "Net needs 'depth'", f"--args must go on with depth, {FACTORY}"),
        ("[8, 2]", "Net takes 1 positional argument, and is given 2", "its arguments are (dim=4, *, depth)"),
        ("dpeth: 2", "Net has no argument 'dpeth'; did you mean 'depth'?", "its arguments are (dim=4, *, depth)"),
    ],
)
def test_arguments_that_do_not_fit_are_told_before_the_call(args, message, hint, folder):
    with pytest.raises(UsageError) as caught:
        build("zoo:Net", folder, args=args)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_an_exception_deep_in_the_model_is_placed_in_the_users_line(folder):
    line = next(n for n, text in enumerate(ZOO.splitlines(), 1) if "raise ValueError" in text)
    with pytest.raises(ModelError) as caught:
        build("zoo:Net", folder, args="{dim: 3, depth: 1}")
    assert caught.value.message == f"calling Net raised ValueError at zoo.py:{line} in Block.__init__: dim 3 is odd"
