"""Which classes of a project are its models."""

import ast

from ckptlint.engine.find_models import find_models

BLOCKS = "class Base(nn.Module):\n    pass\nclass Block(Base):\n    pass\nclass NotOne(dict):\n    pass\n"
NET = """
from blocks import Base, Block
class MyNet(Base):
    def __init__(self, depth):
        self.layers = nn.ModuleList(Block() for _ in range(depth))
class HTTPNet2(torch.nn.Module):
    def __init__(self, width=3, *, deep=1): pass
class _Hidden(nn.Module): pass
def build_my_net(depth=3):
    return MyNet(depth)
def build_other(width):
    return HTTPNet2(width)
"""


def test_roots_are_models_and_a_factory_stands_for_what_needs_arguments():
    found = find_models({"blocks.py": ast.parse(BLOCKS), "net.py": ast.parse(NET)})
    assert [(each.file, each.name, each.slug, each.needs) for each in found] == [
        ("net.py", "HTTPNet2", "http_net2", ()),
        ("net.py", "build_my_net", "my_net", ()),
    ]


def test_what_cannot_be_built_says_what_it_needs():
    found = find_models({"a.py": ast.parse("class N(Module):\n    def __init__(self, a, b=1, *, c, d=2): pass")})
    assert found[0].needs == ("a", "c")


def test_a_class_called_module_hides_none_and_modules_of_torch_are_bases():
    text = "class Module(nn.Module): pass\nclass A(Module): pass\nclass B(torch.nn.Sequential): pass\nclass C(nn.Parameter): pass"
    assert [each.name for each in find_models({"a.py": ast.parse(text)})] == ["A", "B"]
