"""What is read and written again loads as an equal object: types, values, sharing and cycles."""

import collections
import functools
import math
import pickle

import pickled_things as things
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pickle_forms import again, form, graph

from ckptlint.core.dtype import BY_TORCH
from ckptlint.core.tree import Call, Dict, Global, List, Opaque, Storage, Tensor, Tuple
from ckptlint.errors import OutputError
from ckptlint.formats.pickles import read, write

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 100), 1 << 100),
    st.integers(-300, 70000),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.text(st.characters(exclude_categories=()), max_size=3),
    st.binary(max_size=5),
    st.complex_numbers(allow_nan=False),
)
keys = st.one_of(st.text(max_size=4), st.integers(), st.tuples(st.integers(0, 9), st.text(max_size=2)))


def partial(values):
    return functools.partial(things.function, *values[:1], right=values)


def attributed(kind):
    def make(values):
        made = kind()
        for number, value in enumerate(values):
            setattr(made, f"a{number}", value)
        return made

    return make


def slotted(kind):
    def make(values):
        made = kind()
        made.left = values
        return made

    return make


MAKERS = {
    "list": list,
    "tuple": tuple,
    "dict": lambda values: dict(enumerate(values)),
    "ordered": lambda values: collections.OrderedDict((str(n), v) for n, v in enumerate(values)),
    "default": lambda values: collections.defaultdict(list, enumerate(values)),
    "counter": lambda values: collections.Counter(map(str, range(len(values)))),
    "set": lambda values: {n * 7 for n in range(len(values))},
    "frozenset": lambda values: frozenset(range(len(values))),
    "bytearray": lambda values: bytearray(range(len(values))),
    "plain": attributed(things.Plain),
    "setter": attributed(things.StateSetter),
    "stateful": things.Stateful,
    "reduced": lambda values: things.Reduced(*values),
    "list child": things.ListChild,
    "dict child": lambda values: things.DictChild(enumerate(values)),
    "set child": lambda values: things.SetChild(range(len(values))),
    "pair": lambda values: things.Pair(values, len(values)),
    "colour": lambda values: things.Colour.BLUE,
    "partial": partial,
    "class": lambda values: things.Plain,
}
LATE_MAKERS = {  # need protocol 2
    "slotted": slotted(things.Slotted),
    "both": slotted(things.Both),
    "keyed": lambda values: things.Keyed(values, word="w"),
    "inner class": lambda values: things.Outer.Inner(),
}


@st.composite
def graphs(draw, kinds):
    """A list of objects that hold each other; those that can be filled later may close cycles."""
    pool = list(draw(st.lists(scalars, min_size=1, max_size=6)))
    for kind in draw(st.lists(st.sampled_from(sorted(kinds)), max_size=12)):
        indices = draw(st.lists(st.integers(0, len(pool) - 1), max_size=5))
        pool.append(kinds[kind]([pool[index] for index in indices]))
    for holder, held in draw(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=6)):
        link(pool[holder % len(pool)], pool[held % len(pool)])
    return pool


def link(holder, held):
    if isinstance(holder, list):
        holder.append(held)
    elif isinstance(holder, dict) and not isinstance(holder, collections.Counter):
        holder["linked"] = held
    elif type(holder) is things.Plain:
        holder.linked = held
    elif isinstance(holder, things.Reduced):
        holder.extra = held


def comes_back(value, protocol):
    """Compare what Python makes of our pickle with what it makes of its own."""
    before = pickle.dumps(value, protocol)
    ours, theirs = pickle.loads(again(before, protocol)), pickle.loads(before)
    assert graph(ours) == graph(theirs)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("kind", [*MAKERS, *LATE_MAKERS])
def test_every_kind_comes_back(kind, protocol):
    if kind in LATE_MAKERS:
        protocol = max(protocol, 2)
    shared = ["shared"]
    made = (MAKERS | LATE_MAKERS)[kind]([shared, "text", 5])
    link(made, shared)
    comes_back([made, shared, made], protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS[:1])
def test_a_list_that_a_call_copies_is_filled_before_it(protocol):
    child = things.ListChild()  # copied by the call that makes it, in protocols 0 and 1
    child.append(things.Pair([child], 1))
    comes_back([child, child[0]], protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_objects_come_back(protocol, data):
    pool = data.draw(graphs(MAKERS if protocol < 2 else MAKERS | LATE_MAKERS))
    try:
        pickle.dumps(pool, protocol)
    except RecursionError:  # Python cannot: a tuple class that holds itself
        reject()
    comes_back(pool, protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=40, deadline=None)
@given(
    value=st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner), st.dictionaries(keys, inner), st.tuples(inner, inner), st.frozensets(keys), st.sets(keys)
        ),
        max_leaves=12,
    )
)
def test_values_come_back_equal(protocol, value):
    assert pickle.loads(again(pickle.dumps(value, protocol), protocol)) == value


EDGES = [
    0,
    1 << 7,
    1 << 8,
    1 << 15,
    1 << 16,
    1 << 31,
    1 << 32,
    1 << 39,
    1 << 63,
    1 << 64,
    1 << 2031,
    1 << 2040,
    1 << 4000,
]


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("edge", EDGES)
def test_integers_are_written_as_python_writes_them(protocol, edge):
    for number in (edge - 1, edge, edge + 1, -edge - 1, -edge, -edge + 1):
        assert write(number, protocol=protocol, storage_key=str) == pickle.dumps(number, protocol)


def test_odd_floats_come_back():
    nan, inf, zero = pickle.loads(again(pickle.dumps([math.nan, -math.inf, -0.0])))
    assert math.isnan(nan)
    assert inf == -math.inf
    assert math.copysign(1, zero) == -1


def test_a_tuple_inside_itself_comes_back():
    inside = []
    outside = (inside, 1, 2, 3)
    inside.append(outside)
    loaded = pickle.loads(again(pickle.dumps(outside)))
    assert loaded[0][0] is loaded
    assert loaded[1:] == (1, 2, 3)


def test_an_object_among_its_own_arguments_comes_back():
    inside = []
    outside = things.Reduced(inside)
    inside.append(outside)
    loaded = pickle.loads(again(pickle.dumps([outside])))[0]
    assert loaded.arguments[0][0] is loaded


@pytest.mark.parametrize("protocol", [2, 3])
def test_what_protocol_4_names_or_makes_can_be_written_before_it(protocol):
    value = [things.Outer.Inner, things.Keyed(1, word="x"), b"bytes", {1}, bytearray(b"array")]
    root = read(pickle.dumps(value, 4), "test").root
    inner, keyed, *rest = pickle.loads(write(root, protocol=protocol, storage_key=str))
    assert (inner, keyed.number, keyed.word, rest) == (things.Outer.Inner, 1, "x", value[2:])


def test_names_of_python_2_are_written_as_python_3_needs_them():
    root = read(pickle.dumps([{1}, range(3), ValueError("x")], 2), "test").root
    numbers, run, error = pickle.loads(write(root, protocol=4, storage_key=str))
    assert (numbers, run, error.args) == ({1}, range(3), ("x",))


@pytest.mark.parametrize("count", [999, 1000, 1001, 2001])
def test_long_containers_are_written_in_batches(count):
    value = [
        list(range(count)),
        dict.fromkeys(map(str, range(count))),
        set(range(count)),
        things.ListChild(range(count)),
    ]
    assert pickle.loads(again(pickle.dumps(value, 2))) == value
    assert pickle.loads(again(pickle.dumps(value, 4))) == value


def test_what_is_nested_deep_is_written():
    root = List([])
    innermost = root
    for _ in range(4_900):
        innermost.items.append(Tuple((List([]), Dict([("k", innermost)]))))
        innermost = innermost.items[-1].items[0]
    assert form(read(write(root, storage_key=str), "deep").root) == form(root)


def test_equal_texts_are_written_once():
    names = [f"a long name {number % 3}" for number in range(30)]
    assert write(List(names), storage_key=str).count(b"a long name 1") == 1


def test_an_object_tied_in_many_knots_comes_back():
    lists = [List([]) for _ in range(3000)]
    knot = Tuple(tuple(lists))
    for one in lists:
        one.items.append(knot)
    assert form(read(write(knot, storage_key=str), "knot").root) == form(knot)


def test_a_tuple_that_holds_itself_is_refused():
    knot = Tuple(())
    knot.items = (1, knot)
    with pytest.raises(OutputError, match="contains itself"):
        write(knot, storage_key=str)


def test_what_a_call_copies_is_complete_before_it():
    inner, outer = things.DictChild(), things.DictChild()
    outer["holder"] = [inner]
    inner["back"] = outer
    loaded = pickle.loads(again(pickle.dumps(outer, 1)))  # protocol 1 copies a dict that is given as an argument
    assert loaded["holder"][0]["back"] is loaded


def test_a_state_is_set_only_when_what_it_holds_is_complete():
    plain = things.Plain()
    plain.among = {plain}
    loaded = pickle.loads(again(pickle.dumps([plain.among], 2)))[0]
    (member,) = loaded
    assert member.among is loaded


def test_a_name_with_a_line_break_is_refused():
    with pytest.raises(OutputError, match="line break"):
        write(Global("os\nsystem", "x"), storage_key=str)


def test_a_tensor_that_torch_cannot_hold_is_refused():
    from ckptlint.core.dtype import DType

    dtype = DType.parse("F6_E2M3")
    with pytest.raises(OutputError, match="f6e2m3"):
        write(Tensor(Storage("0", dtype, 4), dtype, (4,), (1,)), storage_key=str)


def test_nodes_are_replaced_where_they_stand_and_stay_shared():
    old, new = List([1]), List([2])
    root = Tuple((old, Dict([("k", old)]), old))
    first, second, third = pickle.loads(write(root, storage_key=str, replace=lambda node: new if node is old else node))
    assert first == [2]
    assert first is second["k"] is third


def test_a_new_storage_is_named_by_its_dtype():
    f32, f8 = BY_TORCH["float32"], BY_TORCH["float8_e4m3fn"]
    tensors = List([Tensor(Storage("a", f32, 6), f32, (6,), (1,)), Tensor(Storage("b", f8, 6), f8, (6,), (1,))])
    found = read(write(tensors, storage_key=lambda storage: storage.key + "1"), "test")
    assert [(storage.key, str(storage.made_by), storage.numel) for storage in found.storages] == [
        ("a1", "torch.FloatStorage", 6),
        ("b1", "torch.storage.UntypedStorage", 6),
    ]
    assert [str(tensor.spec) for tensor in found.root.items] == ["f32[6]", "f8e4m3fn[6]"]


def test_changes_are_redone_in_order():
    call = Call(Global("pickled_things", "ListChild"), Tuple(()), new=True)
    made = Opaque(call, [("append", 1), ("append", 2), ("build", Dict([("x", 1)])), ("append", 3)])
    loaded = pickle.loads(write(made, storage_key=str))
    assert (list(loaded), loaded.x) == ([1, 2, 3], 1)
