"""Rewrites within a scope are the same rewrites with the path before every key."""

import pytest

from ckptlint.documents.migrations import read_migration
from ckptlint.errors import DocumentError


def patterns(body):
    rewrites = read_migration("ckptlint: 1\nrewrites:\n" + body, "m.yaml").stages[0].rewrites
    return [_said(each) for each in rewrites]


def _said(rewrite):
    told = (
        str(getattr(rewrite, name)) for name in ("source", "target", "first", "key", "each") if hasattr(rewrite, name)
    )
    many = (str(each) for name in ("sources", "targets", "keys") for each in getattr(rewrite, name, ()))
    return type(rewrite).__name__, *told, *many


SAME = {
    """
- scope: a.{i:int}
  rewrites:
  - rename: {"x.{t}": "y.{t}"}
  - {from: qkv, to: [q, k, v], ops: [split: {parts: 3}]}
  - copy: {e: f}
  - keep: ["g.*", "{0..3}.w"]
  - drop: {keys: "**.h", reason: not needed}
  - new: {key: b, shape: [1], dtype: f32, fill: zeros, for: w}
""": """
- rename: {"a.{i:int}.x.{t}": "a.{i}.y.{t}"}
- {from: "a.{i:int}.qkv", to: ["a.{i}.q", "a.{i}.k", "a.{i}.v"], ops: [split: {parts: 3}]}
- copy: {"a.{i:int}.e": "a.{i}.f"}
- keep: ["a.{i:int}.g.*", "a.{i:int}.{0..3}.w"]
- drop: {keys: "a.{i:int}.**.h", reason: not needed}
- new: {key: "a.{i}.b", shape: [1], dtype: f32, fill: zeros, for: "a.{i:int}.w"}
""",
    """
- scope: {"a.{i:int}": "b.{i+1}"}
  rewrites:
  - keep: ["w.*", "{q,k}.{t}", "**", "l.{0..2}.b"]
""": """
- rename: {"a.{i:int}.w.{kept1}": "b.{i+1}.w.{kept1}"}
- rename: {"a.{i:int}.{kept0:one(q|k)}.{t}": "b.{i+1}.{kept0}.{t}"}
- rename: {"a.{i:int}.{kept0:path}": "b.{i+1}.{kept0}"}
- rename: {"a.{i:int}.l.{kept1:one(0|1|2)}.b": "b.{i+1}.l.{kept1}.b"}
""",
    """
- scope: {"a.{i:int}": "b.{i+1}"}
  rewrites:
  - {scope: c, rewrites: [rename: {x: y}]}
""": """
- rename: {"a.{i:int}.c.x": "b.{i+1}.c.y"}
""",
}


def test_a_copy_below_a_path_that_moves_goes_with_it():
    (said,) = patterns('- {scope: {"a.{i:int}": "b.{i+1}"}, rewrites: [copy: {"x.{t}": "y.{t}"}]}')
    assert said == ("Copy", "a.{i:int}.x.{t}", "b.{i+1}.y.{t}", "b.{i+1}.x.{t}")


@pytest.mark.parametrize("scoped", SAME)
def test_a_scope_is_a_path_before_every_key(scoped):
    assert patterns(scoped) == patterns(SAME[scoped])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("- {scope: a}", "lacks 'rewrites'"),
        ("- {scope: {a: b, c: d}, rewrites: []}", "should be one path"),
        ("- {scope: a, keep: x}", "unknown key 'keep'"),
        ("- {scope: 'a.{i', rewrites: []}", "a.{i"),
        ("- {scope: {a: 'b.{i}'}, rewrites: [rename: {x: y}]}", "'i' is no param"),
    ],
)
def test_a_mistake_is_said(body, message):
    with pytest.raises(DocumentError, match=".*" + message.replace("{", r"\{").replace(".", r"\.")):
        patterns(body)
