import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.errors import UsageError
from ckptlint.source.reference import ModelReference

NAME = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True).filter(
    lambda word: word.isidentifier() and word not in WORDS
)
WORDS = frozenset(__import__("keyword").kwlist)


@given(module=st.lists(NAME, min_size=1, max_size=3), names=st.lists(NAME, min_size=1, max_size=3))
def test_a_reference_reads_what_it_writes(module, names):
    reference = ModelReference(".".join(module), tuple(names))
    assert ModelReference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "place", "names", "is_file"),
    [
        ("pkg.mod:Net", "pkg.mod", ("Net",), False),
        ("mod:zoo.Net.small", "mod", ("zoo", "Net", "small"), False),
        ("models/vit.py:ViT", "models/vit.py", ("ViT",), True),
        ("./vit.py:ViT", "./vit.py", ("ViT",), True),
        (r"C:\models\vit.py:ViT", r"C:\models\vit.py", ("ViT",), True),
        ("a:b/vit.py:ViT", "a:b/vit.py", ("ViT",), True),
        ("my models/vit.py:ViT", "my models/vit.py", ("ViT",), True),
        ("größe.netz:Netz", "größe.netz", ("Netz",), False),
        ("  pkg:Net ", "pkg", ("Net",), False),
    ],
)
def test_forms(text, place, names, is_file):
    reference = ModelReference.parse(text)
    assert (reference.place, reference.names, reference.is_file) == (place, names, is_file)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("pkg.mod", "names no class or function"),
        ("vit.py", "names no class or function"),
        (r"C:\models\vit.py", "names no class or function"),
        ("", "names no class or function"),
        ("pkg:", "'' after the colon is not a name"),
        ("pkg:Net()", "'Net()' after the colon is not a name"),
        ("pkg:a..b", "'a..b' after the colon is not a name"),
        ("pkg:class", "'class' after the colon is not a name"),
        (":Net", "'' is neither a dotted module name nor a .py file"),
        ("pkg/mod:Net", "'pkg/mod' is neither a dotted module name nor a .py file"),
        ("pkg-mod:Net", "'pkg-mod' is neither a dotted module name nor a .py file"),
        ("model.pt:Net", None),
    ],
)
def test_malformed_references_are_usage_errors(text, what):
    if what is None:
        assert not ModelReference.parse(text).is_file
        return
    with pytest.raises(UsageError) as caught:
        ModelReference.parse(text)
    assert what in caught.value.message
    assert "pkg.module:Class" in caught.value.hint
    assert not ModelReference.looks_like(text)
