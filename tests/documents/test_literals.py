import pytest

from ckptlint.documents.literals import literals
from ckptlint.documents.plain_values import Called, Unknown
from ckptlint.errors import DocumentError


def read(text):
    return literals(text.encode(), "m.py")


def test_names_are_followed_and_nothing_is_run():
    found = read(
        "base = {'a': 'b'}\n"
        "raise SystemExit\n"
        "class C:\n    more = {**base, 'c': base['a'] + 'd'}\n    more['e'] = None\n"
        "def f():\n    return [('x', 'y')] + list([('z', 'w')])\n"
    )
    assert found == {
        "base": {"a": "b"},
        "C.more": {"a": "b", "c": "bd", "e": None},
        "f.return": [["x", "y"], ["z", "w"]],
    }


def test_a_copy_is_changed_without_its_original():
    assert read("a = {'x': ['1']}\nb = a['x'].copy()\nb += ['2']\n") == {"a": {"x": ["1"]}, "b": ["1", "2"]}


def test_calls_are_kept_as_they_are_written():
    call = read("m = vllm.WeightsMapper(1, orig={'a': 'b'})")["m"]
    assert call == Called("WeightsMapper", (1,), {"orig": {"a": "b"}}, 1)


@pytest.mark.parametrize("value", ["f'{x}'", "[k for k in y]", "open('x').read()[0]", "a or b", "lambda: 1", "nowhere"])
def test_what_only_running_tells_is_unknown(value):
    found = read(f"\nx = {value}")["x"]
    assert isinstance(found, Unknown)
    assert found.line == 2


@pytest.mark.parametrize("source", [b"x = (", b"x = 1\0", b"x = " + b"(" * 500 + b")" * 500, b"-" * 50_000 + b"1"])
def test_what_is_no_python_is_refused(source):
    with pytest.raises(DocumentError, match=r"is no Python|is nested too deeply"):
        literals(source, "m.py")


LOOPS = """
names = ["q", "k"]
pairs = []
for i in range(2):
    pairs.append((f"h.{i}.ln", f"layers.{i + 1}.norm"))
    for number, name in enumerate(names):
        pairs += [(f"h.{i}.{name}", f"layers.{i}.{number}")]
table = {f"x.{i}.{name}": f"y.{name}.{2 * i}" for i in range(1, 3) for name in names}
table.update({old: new for old, new in zip(["a", "b"], ("c", "d"))})
for old, new in dict(e="f").items():
    table[old] = new
"""


def test_loops_over_what_is_stated_are_followed_as_python_does():
    real = {}
    exec(LOOPS, real)
    found = read(LOOPS)
    assert found["pairs"] == [list(pair) for pair in real["pairs"]]
    assert found["table"] == real["table"]


@pytest.mark.parametrize(
    "change",
    [
        "for i in range(n):\n    x['b'] = 'c'",
        "for i in range(10 ** 9):\n    x['b'] = 'c'",
        "for i in range(3):\n    if i: continue\n    x[str(i)] = 'c'",
        "for i in range(3):\n    if i == 0:\n        x['b'] = 'c'",
        "while go():\n    x.update(b='c')",
        "try:\n    x['b'] = 'c'\nexcept KeyError:\n    pass",
        "x.update(load())",
        "x.pop('a')",
        "del x['a']",
        "x[load()] = 'c'",
    ],
)
def test_what_code_may_have_changed_is_not_known_any_more(change):
    found = read(f"x = {{'a': 'b'}}\n{change}\n")["x"]
    assert isinstance(found, Unknown)
    assert found.line > 1


def test_a_sum_of_many_terms_is_computed_once_each():
    assert read("x = " + " + ".join(["'a'"] * 200))["x"] == "a" * 200
    wide = read("w = " + " | ".join(["W(a={'b': 'c'})"] * 60) + "\nv = w | w\n")
    assert len(wide["v"].arguments) == 120


@pytest.mark.parametrize(
    "grow",
    [
        "for i in range(40):\n    x = x + x",
        "for i in range(40):\n    x = f'{x}{x}'",
        "for i in range(40):\n    x = [x, x][0] + x",
        "for i in range(99999999999999999999):\n    x = i",
        "for i in range(999):\n    for j in range(99999):\n        for k in range(9999):\n            x = k",
        "x = f'{0x" + "f" * 20_000 + "}'",
        "x = 0x" + "f" * 20_000 + " / 2",
    ],
)
def test_what_is_too_large_to_make_is_unknown(grow):
    assert isinstance(read(f"x = 'some text'\n{grow}\n")["x"], Unknown)


def test_a_list_is_added_to_in_its_place():
    assert read("a = ['x']\nb = a\nb += ['y']\n") == {"a": ["x", "y"], "b": ["x", "y"]}


def test_parameters_hide_what_has_their_name_outside():
    found = read(
        "p = 'enc'\nm = {'a': 'b'}\ndef f(p):\n    return {'a': f'{p}.a'}\ndef g(*m):\n    m.update({'c': 'd'})\n    return m\n"
    )
    assert found["m"] == {"a": "b"}
    assert isinstance(found["g.return"], Unknown)


@pytest.mark.parametrize("name", ["dict", "OrderedDict", "collections.OrderedDict"])
def test_a_table_of_pairs_is_a_table(name):
    assert read(f"x = {name}([('a.b', 'c'), ['d', None]])") == {"x": {"a.b": "c", "d": None}}
    assert isinstance(read(f"x = {name}([('a.b', 'c', 'd')])")["x"], Called)
