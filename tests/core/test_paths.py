"""A place's text leads back to the place, however the tree is made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.core import paths
from ckptlint.core.tree import Call, Dict, Global, List, Opaque, Set, Tuple, Value
from ckptlint.errors import FormatError, UsageError

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False)
KEYS = st.text(max_size=6) | st.sampled_from(["a/b", "~", "~1", "@", "x@", ""])


def of(value) -> Value:
    if isinstance(value, dict):
        return Dict([(key, of(inner)) for key, inner in value.items()])
    if isinstance(value, list):
        return List([of(inner) for inner in value])
    return Tuple(tuple(of(inner) for inner in value)) if isinstance(value, tuple) else value


TREES = st.recursive(
    SCALARS,
    lambda inner: st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=3) | st.tuples(inner),
    max_leaves=20,
).map(of)


def thing(state=None, *changes):
    return Opaque(
        Call(Global("pkg", "Thing"), Tuple(()), new=True),
        [*changes, *([("build", state)] if state is not None else [])],
    )


@given(TREES)
def test_every_place_is_found_under_its_own_path(root):
    places = list(paths.walk(root))
    assert len({path for path, _ in places}) == len(places)
    for path, value in places:
        assert paths.find(root, path) is value
        assert paths.holds(root, path)


def test_a_tree_is_walked_outer_before_inner_in_file_order():
    root = of({"b": {0: "x", "y/z~": (1, [2])}, "a": {}})
    assert [path for path, _ in paths.walk(root)] == [
        "/",
        "/b",
        "/b/0",
        "/b/y~1z~0",
        "/b/y~1z~0/0",
        "/b/y~1z~0/1",
        "/b/y~1z~0/1/0",
        "/a",
    ]


def test_what_objects_store_is_behind_an_at():
    inner = thing(of({"lr": 1}))
    root = of({"cfg": 0})
    root.items = [("cfg", thing(of({"opt": 0}))), ("d", Dict([("k", 1)], None, of({"_metadata": 2})))]
    root.items[0][1].changes[-1][1].items = [("opt", inner)]
    assert [path for path, _ in paths.walk(root)] == [
        "/",
        "/cfg",
        "/cfg@",
        "/cfg@/opt",
        "/cfg@/opt@",
        "/cfg@/opt@/lr",
        "/d",
        "/d/k",
        "/d@",
        "/d@/_metadata",
    ]
    assert paths.find(root, "/cfg@/opt@/lr") == 1
    assert [path for path, _ in paths.walk(root, states=False)] == ["/", "/cfg", "/d", "/d/k"]
    assert paths.find(thing(of({"lr": 1})), "/@/lr") == 1


def test_items_set_on_an_object_are_its_members():
    mapping = thing(None, ("item", "a", 1), ("item", "b", 2))
    assert [path for path, _ in paths.walk(of({"m": 0, "x": 3}))] == ["/", "/m", "/x"]
    root = Dict([("m", mapping), ("l", thing(None, ("append", 7)))])
    assert (paths.find(root, "/m/b"), paths.find(root, "/l/0")) == (2, 7)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (3, "3"),
        (-1, "-1"),
        (True, "True"),
        (None, "None"),
        (1.5, "1.5"),
        (b"x", "b'x'"),
        (of((1, "a")), "(1, 'a')"),
        (Global("torch", "float32"), "torch.float32"),
        (thing(), "<pkg.Thing>"),
        (Set([]), "<set>"),
    ],
)
def test_keys_that_are_no_texts_are_written_too(key, text):
    assert paths.step(key) == text


def test_the_last_of_a_repeated_key_counts():
    assert paths.find(Dict([("a", 1), ("b", 2), ("a", 3)]), "/a") == 3


def test_a_path_to_nothing_says_what_there_is():
    root = of({"model": {"w": 1}, **{f"k{number}": 0 for number in range(9)}})
    assert not paths.holds(root, "/model/x")
    with pytest.raises(UsageError) as caught:
        paths.find(root, "/model/x")
    assert (caught.value.where, caught.value.hint) == ("/model", "there are w")
    with pytest.raises(UsageError, match=r"there are model, k0, k1, k2, k3, k4, k5, k6 and 2 more"):
        paths.find(root, "/x")
    with pytest.raises(UsageError, match="what is there holds nothing"):
        paths.find(root, "/k0/x")
    with pytest.raises(UsageError, match="it starts with /"):
        paths.find(root, "model")


def test_cycles_are_walked_once_around():
    root = of({"a": [1]})
    root.items[0][1].items.append(root)
    assert [path for path, _ in paths.walk(root)] == ["/", "/a", "/a/0", "/a/1"]


def test_shared_nodes_come_at_each_place():
    shared = of([1])
    assert [path for path, _ in paths.walk(Dict([("a", shared), ("b", shared)]))] == ["/", "/a", "/a/0", "/b", "/b/0"]


def test_a_tree_that_unfolds_without_end_is_an_error(monkeypatch):
    monkeypatch.setattr(paths, "_MOST_PLACES", 1000)
    node = of([])
    for _ in range(40):
        node = List([node, node])
    with pytest.raises(FormatError, match="unfolds to more than 1000 places"):
        list(paths.walk(node))


def test_a_deep_tree_is_no_trouble():
    node = of([])
    for _ in range(5000):
        node = List([node])
    assert sum(1 for _ in paths.walk(node)) == 5001


def test_keys_that_differ_only_in_their_type_are_ambiguous():
    root = Dict(
        [("s", Dict([(0, 1), ("0", 2), (1, 3)])), ("t", Dict([(0, 1), (1, 2)])), ("u", Dict([("a", 1), ("a", 2)]))]
    )
    assert paths.ambiguous(root) == ["/s/0"]
