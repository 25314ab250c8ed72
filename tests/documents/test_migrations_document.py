"""Migration files: every form of the grammar, every mistake with its place, and no other error whatever the input."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest

from ckptlint.core.dtype import DType
from ckptlint.core.expression import Expression
from ckptlint.core.migration import (
    Copy,
    Drop,
    Guard,
    Keep,
    Migration,
    Move,
    New,
    OpCall,
    Param,
    Prefix,
    Stage,
    Tie,
    Untie,
)
from ckptlint.core.template import Selector, Target, Template
from ckptlint.documents.migrations import read_migration
from ckptlint.errors import DocumentError
from ckptlint.ops.vocabulary import OPERATIONS

GRAMMAR = (Path(__file__).parent / "grammar.yaml").read_text()


def read(body: str) -> Migration:
    return read_migration(f"ckptlint: 1\n{body}", "m.yaml")


def rewrites(body: str) -> tuple[object, ...]:
    return read(f"rewrites:\n{body}").stages[0].rewrites


def failure(body: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        read(body)
    return caught.value


def templates(*texts: str) -> tuple[Template, ...]:
    return tuple(map(Template.parse, texts))


def targets(*texts: str) -> tuple[Target, ...]:
    return tuple(map(Target.parse, texts))


expression = Expression.parse


def test_the_whole_grammar():
    migration = read_migration(GRAMMAR, "g.yaml")
    assert migration.summary == "blocks renamed, qkv split per group, experts stacked"
    assert migration.sections == ("weights",)
    assert migration.prefix == Prefix(("module.", "_orig_mod."), where="g.yaml:4:9: prefix")
    assert migration.optimizer == "carry"
    assert migration.params == (
        Param("heads", "tree", ("/cfg/num_heads",), where="g.yaml:6:10: params.heads"),
        Param("kv", "tree", ("/cfg/num_kv_heads",), expression("heads"), "g.yaml:7:7: params.kv"),
        Param("dim", "dim", ("embed.weight", 1), where="g.yaml:8:8: params.dim"),
        Param(
            "E", "count", (*templates("layers.{l:int}.experts.{e:int}.w1.weight"), "e"), where="g.yaml:9:6: params.E"
        ),
    )
    (stage,) = migration.stages
    assert stage.rest == "keep"
    assert [type(rewrite) for rewrite in stage.rewrites] == [Move, Move, Move, Move, Move, New, Copy, Drop]


def test_operations_hold_expressions_and_places():
    (_, _, move, *_) = read_migration(GRAMMAR, "g.yaml").stages[0].rewrites
    assert isinstance(move, Move)
    assert move.ops == (
        OpCall(
            "rearrange",
            {"pattern": "(g t d) ... -> g t d ...", "sizes": {"g": expression("kv"), "t": expression("heads/kv + 2")}},
            where="g.yaml:18:17: rewrites[1].ops[0].rearrange",
        ),
        OpCall(
            "split", {"dim": 1, "sizes": (expression("heads/kv"), 1, 1)}, where="g.yaml:19:12: rewrites[1].ops[1].split"
        ),
        OpCall(
            "rearrange", {"pattern": "g t d ... -> (g t d) ..."}, where="g.yaml:20:16: rewrites[1].ops[2].rearrange"
        ),
    )


def test_a_gather():
    (*_, move, _, _, _, _) = read_migration(GRAMMAR, "g.yaml").stages[0].rewrites
    assert move == Move(
        templates("layers.{l:int}.experts.{e:int}.w1.weight", "layers.{l:int}.experts.{e:int}.w3.weight"),
        targets("layers.{l}.experts.gate_up"),
        (
            OpCall("stack", {"dim": 0}, over="e", where="g.yaml:25:17: rewrites[2].ops[0].stack"),
            OpCall("concat", {"dim": 1}, where="g.yaml:25:46: rewrites[2].ops[1].concat"),
        ),
        over="e",
        expect=expression("E"),
        where="g.yaml:21:3: rewrites[2]",
    )


REWRITES = {
    "- keep: a.b": (Keep((Selector.parse("a.b"),), where="m.yaml:3:9: rewrites[0].keep"),),
    "- keep: ['a.*', '**.{0..3}']": (
        Keep((Selector.parse("a.*"), Selector.parse("**.{0..3}")), where="m.yaml:3:9: rewrites[0].keep"),
    ),
    "- {drop: {keys: [a, b], reason: unused}, optional: true}": (
        Drop(
            (Selector.parse("a"), Selector.parse("b")), "unused", optional=True, where="m.yaml:3:10: rewrites[0].drop"
        ),
    ),
    "- {rename: {a: b}, when: {lacks: c}}": (
        Move(
            templates("a"),
            targets("b"),
            when=Guard("lacks", (Selector.parse("c"),), "m.yaml:3:34: rewrites[0].when.lacks"),
            where="m.yaml:3:13: rewrites[0].rename.a",
        ),
    ),
    "- copy: {'a.{x}': 'b.{x}'}": (
        Copy(*templates("a.{x}"), *targets("b.{x}"), where="m.yaml:3:10: rewrites[0].copy['a.{x}']"),
    ),
    "- tie: [a.w, b.w]": (Tie(("a.w", "b.w"), where="m.yaml:3:8: rewrites[0].tie"),),
    "- untie: a.w": (Untie(("a.w",), where="m.yaml:3:10: rewrites[0].untie"),),
    "- new: {key: 'b.{i}.g', for: 'b.{i:int}.w', shape: [i + 1, 2], dtype_of: 'b.{i}.w', fill: 0.5, after: 'b.{i}.w'}": (
        New(
            *targets("b.{i}.g"),
            (expression("i+1"), expression("2")),
            0.5,
            None,
            *targets("b.{i}.w"),
            *templates("b.{i:int}.w"),
            *targets("b.{i}.w"),
            where="m.yaml:3:8: rewrites[0].new",
        ),
    ),
    "- new: {key: s, shape: [], dtype: torch.float16, fill: -.inf}": (
        New(*targets("s"), (), float("-inf"), DType.parse("f16"), where="m.yaml:3:8: rewrites[0].new"),
    ),
    "- {from: [a, b], to: [b, a], ops: [order: [1, 0]]}": (
        Move(
            templates("a", "b"),
            targets("b", "a"),
            (OpCall("order", {"order": (1, 0)}, where="m.yaml:3:43: rewrites[0].ops[0].order"),),
            where="m.yaml:3:3: rewrites[0]",
        ),
    ),
    "- {from: w, to: 'w.{e}', ops: [{unstack: {over: e, dim: 0}}]}": (
        Move(
            templates("w"),
            targets("w.{e}"),
            (OpCall("unstack", {"dim": 0}, over="e", where="m.yaml:3:42: rewrites[0].ops[0].unstack"),),
            where="m.yaml:3:3: rewrites[0]",
        ),
    ),
    "- {from: [a, b], to: c, ops: [{cast: bf16, only: [0]}, {concat: {dim: 0}}]}": (
        Move(
            templates("a", "b"),
            targets("c"),
            (
                OpCall("cast", {"dtype": DType.parse("bf16")}, only=(0,), where="m.yaml:3:38: rewrites[0].ops[0].cast"),
                OpCall("concat", {"dim": 0}, where="m.yaml:3:65: rewrites[0].ops[1].concat"),
            ),
            where="m.yaml:3:3: rewrites[0]",
        ),
    ),
}


@pytest.mark.parametrize("body", REWRITES)
def test_a_rewrite(body):
    assert rewrites(body) == REWRITES[body]


def test_gathered_and_scattered_again():
    (move,) = rewrites(
        "- {from: 'a.{e:int}', to: 'b.{e}', over: e, ops: [{stack: {over: e}}, {flip: {dim: 0}}, {unstack: {over: e}}]}"
    )
    assert isinstance(move, Move)
    assert move.targets == targets("b.{e}")


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"fill", "init"}))
def test_the_example_of_every_operation_can_be_read(name):
    params = "params: {kv: 2, dim: 3}\nrewrites:\n- from: 'a.{e:int}'\n  over: e\n  to: 'b.{e}'\n  ops:\n  - stack: {over: e}\n  - unstack: {over: e}\n  - "
    example = OPERATIONS[name].example.replace("over: e", "over: f" if name == "unstack" else "over: e")
    (move,) = read(params + example).stages[0].rewrites
    assert isinstance(move, Move)
    assert move.ops[2].op == name


GUARDS = {
    "{has: a, lacks: [b, c]}": Guard(
        "all",
        (
            Guard("has", (Selector.parse("a"),), "m.yaml:3:13: when.has"),
            Guard("lacks", (Selector.parse("b"),), "m.yaml:3:24: when.lacks[0]"),
            Guard("lacks", (Selector.parse("c"),), "m.yaml:3:27: when.lacks[1]"),
        ),
        "m.yaml:3:7: when",
    ),
    "{shape: {a.w: [3, n]}}": Guard("shape", ("a.w", (3, expression("n"))), "m.yaml:3:21: when.shape['a.w']"),
    "{dtype: {a: float16}}": Guard("dtype", ("a", DType.parse("f16")), "m.yaml:3:19: when.dtype.a"),
    "{tree: {/cfg/version: 3}}": Guard("tree", ("/cfg/version", 3), "m.yaml:3:29: when.tree['/cfg/version']"),
    "{tree: {/cfg/name: null}}": Guard("tree", ("/cfg/name", None), "m.yaml:3:26: when.tree['/cfg/name']"),
    "{param: {n: 2}}": Guard("param", ("n", 2), "m.yaml:3:19: when.param.n"),
    "{not: {has: a}}": Guard(
        "not", (Guard("has", (Selector.parse("a"),), "m.yaml:3:19: when.not.has"),), "m.yaml:3:13: when.not"
    ),
    "{any: [{has: a}, {param: {n: x}}]}": Guard(
        "any",
        (
            Guard("has", (Selector.parse("a"),), "m.yaml:3:20: when.any[0].has"),
            Guard("param", ("n", "x"), "m.yaml:3:36: when.any[1].param.n"),
        ),
        "m.yaml:3:13: when.any",
    ),
}


@pytest.mark.parametrize("body", GUARDS)
def test_a_condition(body):
    assert read(f"params: {{n: 8}}\nwhen: {body}\nrewrites: []").when == GUARDS[body]


PARAMS = {
    "8": Param("x", "value", (8,)),
    "a*2": Param("x", "value", (expression("a*2"),)),
    "a": Param("x", "value", (expression("a"),)),
    "large": Param("x", "value", ("large",)),
    "{value: vit-large}": Param("x", "value", ("vit-large",)),
    "{tree: /cfg/n, else: 4}": Param("x", "tree", ("/cfg/n",), Expression.of(4)),
    "lookup(t, a)": Param("x", "value", (expression("lookup(t, a)"),)),
}


@pytest.mark.parametrize("body", PARAMS)
def test_a_param(body):
    param = read(f"lookups: {{t: [q, k]}}\nparams:\n  a: 1\n  x: {body}\nrewrites: []").params[1]
    assert (param.name, param.how, param.arguments, param.otherwise) == (
        "x",
        PARAMS[body].how,
        PARAMS[body].arguments,
        PARAMS[body].otherwise,
    )


def test_lookups_are_texts_by_text_and_a_list_counts():
    assert read("lookups: {t: [q, k], u: {a: 1, 2: b}}\nrewrites: []").lookups == {
        "t": {"0": "q", "1": "k"},
        "u": {"a": "1", "2": "b"},
    }


def test_stages_follow_each_other():
    migration = read("rewrites: [{keep: a}]\nrest: keep\nstages: [{rewrites: [{keep: b}]}]")
    assert [(len(stage.rewrites), stage.rest) for stage in migration.stages] == [(1, "keep"), (1, "error")]
    assert [stage.where for stage in migration.stages] == ["m.yaml:1:1", "m.yaml:4:10: stages[0]"]
    assert len(read("stages: [{rewrites: []}, {rewrites: []}]").stages) == 2


def test_a_prefix_alone_is_a_migration():
    migration = read("prefix: {strip: module., add: net.}\nrest: keep")
    assert (migration.prefix, migration.stages) == (
        Prefix(("module.",), "net.", "m.yaml:2:9: prefix"),
        (Stage((), "keep", "m.yaml:1:1"),),
    )


def test_a_file_that_changes_no_key_says_so():
    assert read("rest: keep").stages == (Stage((), "keep", "m.yaml:1:1"),)


def test_sections():
    assert read("sections: /model\nrewrites: []").sections == ("/model",)
    assert read("sections: [/model, /ema]\nrewrites: []").sections == ("/model", "/ema")


MISTAKES = {
    "summary: x": ("1:1", "lacks 'rewrites'"),
    "rewrite: []": ("2:1", "unknown key 'rewrite'"),
    "tree: {}": ("2:7: tree", "should be a list, not a mapping"),
    "tree: [a]": ("2:8: tree[0]", "should be a mapping, not text 'a'"),
    "tree: [{}]": ("2:8: tree[0]", "should hold one of set, default,"),
    "tree: [{sett: {/a: 1}}]": ("2:9: tree[0]", "unknown key 'sett'"),
    "tree: [{set: {/a: 1}, default: {/a: 1}}]": ("2:8: tree[0]", "holds `set` and `default`; one step does one thing"),
    "tree: [{set: {a: 1}}]": ("2:15: tree[0].set.a", "'a' is not a tree path"),
    "tree: [{set: {/a//b: 1}}]": ("2:15: tree[0].set['/a//b']", "'/a//b' has an empty step"),
    "tree: [{set: {/: 1}}]": ("2:15: tree[0].set['/']", "'/' is the whole; name a place in it"),
    "tree: [{set: {/a@/b: 1}}]": ("2:15: tree[0].set['/a@/b']", "'/a@/b': what an object stores is read, never"),
    "tree: [{set: {'/a/{x}': 1}}]": ("2:15: tree[0].set['/a/{x}']", "'x' is no param"),
    "tree: [{set: {}}]": ("2:14: tree[0].set", "should not be empty"),
    "tree: [{set: {/a: 1}, if: absent}]": ("2:27: tree[0].if", "belongs to `compute`, not to `set`"),
    "tree: [{copy: {from: /a, to: /b}, if: absent}]": ("2:39: tree[0].if", "belongs to `compute`, not to `copy`: it"),
    "tree: [{copy: {from: /a}}]": ("2:15: tree[0].copy", "lacks 'to'"),
    "tree: [{copy: {from: '/a/{t}', to: '/b/{t}', else: 1}}]": (
        "2:52: tree[0].copy.else",
        "where the source is absent its captures have no values",
    ),
    "tree: [{compute: {/a: 2 * x}}]": ("2:23: tree[0].compute['/a']", "'x' is no param"),
    "tree: [{compute: {/a: x}, read: {x: b}}]": ("2:37: tree[0].read.x", "'b' is not a tree path"),
    "tree: [{rename: {'/a/{x}': '/b/{y}'}}]": ("2:28: tree[0].rename['/a/{x}']", "'y' is neither a capture"),
    "tree: [{rename: {'/a/{x}{y}': /b}}]": ("2:18: tree[0].rename['/a/{x}{y}']", "'{x}{y}' is ambiguous"),
    "tree: [{delete: {paths: /a}}]": ("2:17: tree[0].delete", "needs a reason"),
    "tree: [{refuse: ' '}]": ("2:17: tree[0].refuse", "should say what the owner of the file can do"),
    "tree: [{refuse: no, each: {t: [a]}}]": ("2:27: tree[0].each", "belongs to steps with paths, not to `refuse`"),
    "tree: [{rename_class: {a.B: B}}]": ("2:29: tree[0].rename_class['a.B']", "should be a module and a name in it"),
    "tree: [{set: {/a: 1}, each: {t: {key: /a}}}]": ("2:34: tree[0].each.t", "unknown key 'key'"),
    "tree: [{set: {/a: 1}, each: {1t: [a]}}]": ("2:30: tree[0].each['1t']", "'1t' is not a name"),
    "chain: {parent: x}\nrewrites: []": ("2:17: chain.parent", "'x' is not the id of a migration"),
    "chain: {from: k1}\nrewrites: []": ("2:15: chain.from", "'k1' is not the digest of keys"),
    "cases: []": ("2:8: cases", "should have two cases or more"),
    "cases: [{rewrites: []}, {when: {has: a}}]": ("2:9: cases[0]", "lacks 'when'"),
    "cases: [{when: {has: a}}, {when: {lacks: a}}]\nrest: keep": ("3:7: rest", "stands in each case"),
    "rewrites: {}": ("2:11: rewrites", "should be a list, not a mapping"),
    "rewrites: [a]": ("2:12: rewrites[0]", "should be a mapping, not text 'a'"),
    "rewrites: [{}]": ("2:12: rewrites[0]", "should hold `from` and `to`, or one of rename, copy, keep, drop, new, tie, untie"),
    "rewrites: [{renam: {a: b}}]": ("2:13: rewrites[0]", "unknown key 'renam'"),
    "rewrites: [{keep: a, drop: b}]": ("2:12: rewrites[0]", "holds `keep` and `drop`; one rewrite does one thing"),
    "rewrites: [{keep: a, from: b}]": ("2:12: rewrites[0]", "holds `keep` and `from`; one rewrite does one thing"),
    "rewrites: [{from: a}]": ("2:12: rewrites[0]", "`from` needs `to`"),
    "rewrites: [{to: a}]": ("2:12: rewrites[0]", "`to` needs `from`"),
    "rewrites: [{from: a, to: []}]": ("2:26: rewrites[0].to", "should not be empty"),
    "rewrites: [{from: [a, b], to: c}]": ("2:31: rewrites[0].to", "has 1 keys for 2 of `from`, and there are no operations between them"),
    "rewrites: [{from: [a, a], to: c}]": ("2:23: rewrites[0].from[1]", "'a' stands here twice"),
    "rewrites: [{from: [a, b], to: [c, c]}]": ("2:35: rewrites[0].to[1]", "'c' stands here twice"),
    "rewrites: [{from: 'a.{', to: c}]": ("2:19: rewrites[0].from", "'a.{': column 3: '{' is never closed"),
    "rewrites: [{from: 'a.*', to: c}]": ("2:19: rewrites[0].from", "'a.*': column 3: a star selects keys"),
    "rewrites: [{from: 'a.{x}', to: 'c.{y}'}]": ("2:32: rewrites[0].to", "'y' is neither a capture of `from` nor a param"),
    "rewrites: [{rename: {'a.{x}': 'c.{y}'}}]": ("2:31: rewrites[0].rename['a.{x}']", "'y' is neither"),
    "rewrites: [{rename: {}}]": ("2:21: rewrites[0].rename", "should hold a key and what it becomes"),
    "rewrites: [{copy: {as: tie}}]": ("2:19: rewrites[0].copy", "should hold a key and what it becomes"),
    "rewrites: [{copy: {a: b, as: same}}]": ("2:30: rewrites[0].copy.as", "'same' is not one of tie, copy"),
    "rewrites: [{rename: {a: [b]}}]": ("2:25: rewrites[0].rename.a", "should be text, not a list"),
    "rewrites: [{drop: a}]": ("2:19: rewrites[0].drop", "needs a reason"),
    "rewrites: [{drop: {keys: a}}]": ("2:19: rewrites[0].drop", "needs a reason"),
    "rewrites: [{drop: {keys: a, reason: ' '}}]": ("2:37: rewrites[0].drop.reason", "needs a reason"),
    "rewrites: [{new: {key: a, shape: [1], fill: zeros}}]": ("2:18: rewrites[0].new", "needs either `dtype` or `dtype_of`"),
    "rewrites: [{new: {key: a, shape: [1], dtype: f31, fill: zeros}}]": ("2:46: rewrites[0].new.dtype", "'f31' is not a dtype"),
    "rewrites: [{new: {key: a, shape: [1], dtype: f32, fill: zero}}]": ("2:57: rewrites[0].new.fill", "'zero' is not one of zeros, ones"),
    "rewrites: [{new: {key: a, shape: 1, dtype: f32, fill: ones}}]": ("2:34: rewrites[0].new.shape", "should be a list, not an integer '1'"),
    "rewrites: [{new: {key: a, init: {}}}]": ("2:18: rewrites[0].new", "needs either `dtype` or `dtype_of`"),
    "rewrites: [{new: {key: 'a.{i}', shape: [1], dtype: f32, fill: 1}}]": ("2:24: rewrites[0].new.key", "'i' is no param"),
    "rewrites: [{new: {key: a, shape: [1], dtype: f32, fill: 1}, optional: true}]": ("2:71: rewrites[0].optional", "`new` cannot be optional"),
    "rewrites: [{tie: [a]}]": ("2:18: rewrites[0].tie", "should name two keys or more"),
    "rewrites: [{tie: [a, 'b.{x}']}]": ("2:22: rewrites[0].tie[1]", "should be one key, without captures"),
    "rewrites: [{keep: a, optional: yes}]": ("2:32: rewrites[0].optional", "should be true or false, not text 'yes'"),
    "rewrites: [{keep: a}, {keep: [b, a]}]": ("2:30: rewrites[1].keep", "a is claimed already, at m.yaml:2:19: rewrites[0].keep"),
    "rewrites: [{rename: {a: b}}, {drop: {keys: a, reason: r}}]": ("2:37: rewrites[1].drop", "a is claimed already"),
    "rewrites: [{python: {call: 'm:f'}}]": ("2:13: rewrites[0].python", "`python` is an operation"),
    # gathering and scattering
    "rewrites: [{from: 'a.{e:int}', to: b, over: f, ops: [{stack: {over: f}}]}]": ("2:45: rewrites[0].over", "gathers {f}, which rewrites[0].from does not capture"),
    "rewrites: [{from: ['a.{e:int}', b], to: c, over: e, ops: [{stack: {over: e}}]}]": ("2:50: rewrites[0].over", "gathers {e}, which rewrites[0].from[1] does not capture: b"),
    "rewrites: [{from: 'a.{e}', to: b, over: e, ops: [{stack: {over: e}}]}]": ("2:19: rewrites[0].from", "{e} should be an integer to be gathered"),
    "rewrites: [{from: 'a.{e:int}', to: b, over: e}]": ("2:45: rewrites[0].over", "gathers {e}, but no operation folds it"),
    "rewrites: [{from: 'a.{e:int}', to: 'b.{e}', over: e, ops: [{stack: {over: e}}]}]": ("2:36: rewrites[0].to", "{e} is gathered by `over`"),
    "rewrites: [{from: a, to: b, expect: 3}]": ("2:37: rewrites[0].expect", "counts what `over` gathers, and there is no `over`"),
    "rewrites: [{from: 'a.{e}', to: 'b.{e}', ops: [{unstack: {over: e}}]}]": ("2:46: rewrites[0].ops", "scatters over e, which is a capture or param already"),
    # operations
    "rewrites: [{from: a, to: b, ops: {}}]": ("2:34: rewrites[0].ops", "should be a list, not a mapping"),
    "rewrites: [{from: a, to: b, ops: [{}]}]": ("2:35: rewrites[0].ops[0]", "should hold an operation"),
    "rewrites: [{from: a, to: b, ops: [{rearange: a}]}]": ("2:36: rewrites[0].ops[0].rearange", "there is no operation 'rearange'"),
    "rewrites: [{from: a, to: b, ops: [{fill: {value: 1}}]}]": ("2:36: rewrites[0].ops[0].fill", "`fill` makes a tensor of nothing"),
    "rewrites: [{from: a, to: b, ops: [{python: m}]}]": ("2:44: rewrites[0].ops[0].python", "should be a mapping of options"),
    "rewrites: [{from: a, to: b, ops: [{flip: {dim: 0}, roll: {shift: 1}}]}]": ("2:52: rewrites[0].ops[0].roll", "one item of `ops` holds one operation"),
    "rewrites: [{from: a, to: b, ops: [{split: {dim: 0, size: [1]}}]}]": ("2:52: rewrites[0].ops[0].split.size", "split has no option 'size'"),
    "rewrites: [{from: a, to: b, ops: [{split: {axis: 0}}]}]": ("2:44: rewrites[0].ops[0].split.axis", "split has no option 'axis'"),
    "rewrites: [{from: a, to: b, ops: [{split: {dim: 0, sizes: [1, x]}}]}]": ("2:63: rewrites[0].ops[0].split.sizes[1]", "'x' is no param"),
    "rewrites: [{from: a, to: b, ops: [{split: {dim: 0, sizes: [1, 2.5]}}]}]": ("2:63: rewrites[0].ops[0].split.sizes[1]", "should be an integer or an expression, not a number"),
    "rewrites: [{from: a, to: b, ops: [{split: {dim: 0}}]}]": ("2:43: rewrites[0].ops[0].split", "needs either sizes or parts"),
    "rewrites: [{from: a, to: b, ops: [{split: [1, 2]}]}]": ("2:43: rewrites[0].ops[0].split", "should be a mapping of options, not a list"),
    "rewrites: [{from: a, to: b, ops: [{flip: {}}]}]": ("2:42: rewrites[0].ops[0].flip", "lacks 'dim'"),
    "rewrites: [{from: a, to: b, ops: [{cast: {dtype: f16, overflow: maybe}}]}]": ("2:42: rewrites[0].ops[0].cast", "overflow is error or saturate, not 'maybe'"),
    "rewrites: [{from: a, to: b, ops: [{rearrange: 'a b -> a'}]}]": ("2:47: rewrites[0].ops[0].rearrange", ""),
    "rewrites: [{from: a, to: b, ops: [{rearrange: 'a -> a', a: x}]}]": ("2:60: rewrites[0].ops[0].a", "'x' is no param"),
    "rewrites: [{from: a, to: b, ops: [{flip: {dim: 0}, dim: 1}]}]": ("2:52: rewrites[0].ops[0].dim", "stands in the operation's options too"),
    "rewrites: [{from: a, to: b, ops: [{flip: {dim: 0, over: e}}]}]": ("2:51: rewrites[0].ops[0].flip.over", "flip works on each tensor by itself"),
    "rewrites: [{from: a, to: b, ops: [{flip: {dim: 0, only: [-1]}}]}]": ("2:58: rewrites[0].ops[0].flip.only[0]", "should be a slot, counted from 0"),
    "rewrites: [{from: a, to: b, ops: [{order: [0], dim: 1}]}]": ("2:48: rewrites[0].ops[0]", "unknown key 'dim'"),
    # conditions, params, tables
    "when: {}\nrewrites: []": ("2:7: when", "should hold a condition"),
    "when: {hass: a}\nrewrites: []": ("2:8: when", "unknown key 'hass'"),
    "when: {param: {n: 1}}\nrewrites: []": ("2:16: when.param.n", "the file has no params"),
    "params: {m: 1}\nwhen: {param: {n: 1}}\nrewrites: []": ("3:16: when.param.n", "'n' is not one of m"),
    "when: {tree: {a: 1}}\nrewrites: []": ("2:15: when.tree.a", "'a' is not a tree path"),
    "when: {tree: {/a: {b: 1}}}\nrewrites: []": ("2:19: when.tree['/a']", "should be one value or a list of values, not"),
    "when: {type: {/a: dic}}\nrewrites: []": ("2:19: when.type['/a']", "'dic' is not one of dict, list, tuple"),
    "params: {1x: 1}\nrewrites: []": ("2:10: params['1x']", "'1x' is not a name"),
    "params: {lookup: 1}\nrewrites: []": ("2:10: params.lookup", "'lookup' is not a name"),
    "params: {a: b*2, b: 1}\nrewrites: []": ("2:13: params.a", "'b' is no param"),
    "params: {a: b, b: 1}\nrewrites: []": ("2:13: params.a", "b has no value yet"),
    "params: {a: 1+}\nrewrites: []": ("2:13: params.a", "'1+' is not an expression"),
    "params: {a: 1.5}\nrewrites: []": ("2:13: params.a", "should be an integer or an expression, not a number"),
    "params: {a: {}}\nrewrites: []": ("2:13: params.a", "should hold one of value, tree, dim, count"),
    "params: {a: {dim: [w]}}\nrewrites: []": ("2:19: params.a.dim", "should be [key, dimension]"),
    "params: {a: {dim: [w, -1]}}\nrewrites: []": ("2:23: params.a.dim[1]", "should be a dimension, counted from 0"),
    "params: {a: {dim: [w, 1], else: 1}}\nrewrites: []": ("2:33: params.a.else", "belongs to `tree` and `file` alone"),
    "params: {a: {count: ['b.{i:int}', j]}}\nrewrites: []": ("2:35: params.a.count[1]", "'j' is no capture of b.{i:int}"),
    "params: {a: 99999999999999999999}\nrewrites: []": ("2:13: params.a", "'99999999999999999999' is too large an integer"),
    "params: {i: 1}\nrewrites: [{rename: {'a.{i}': b}}]": ("3:22: rewrites[0].rename['a.{i}']", "{i} is a capture here and a param of the file"),
    "params: {a: 1}\nrewrites: [{rename: {'x.{i}': 'y.{lookup(t, i)}'}}]": ("3:31: rewrites[0].rename['x.{i}']", "there is no lookup table 't'"),
    "rewrites: [{rename: {'x.{i}': 'y.{rank(x.{j}, i)}'}}]": ("2:31: rewrites[0].rename['x.{i}']", "rank(x.{j}, i): the template has no capture 'i'"),
    "lookups: {t: {}}\nrewrites: []": ("2:14: lookups.t", "should not be empty"),
    "lookups: {t: [1.5]}\nrewrites: []": ("2:15: lookups.t[0]", "should be text, not a number '1.5'"),
    # the rest
    "sections: model\nrewrites: []": ("2:11: sections", "'model' is not a tree path"),
    "prefix: {}\nrewrites: []": ("2:9: prefix", "should hold `strip` or `add`"),
    "prefix: {strip: ['']}\nrewrites: []": ("2:18: prefix.strip[0]", "should not be empty"),
    "rest: drop\nrewrites: []": ("2:7: rest", "'drop' is not one of error, keep"),
    "optimizer: keep\nrewrites: []": ("2:12: optimizer", "'keep' is not one of carry, reset, leave, refuse"),
    "stages: [{rest: keep}]": ("2:10: stages[0]", "lacks 'rewrites'"),
    "stages: [{rewrites: [], when: {has: a}}]": ("2:25: stages[0]", "unknown key 'when'"),
}  # fmt: skip


@pytest.mark.parametrize("body", MISTAKES)
def test_a_mistake_has_its_place(body):
    error = failure(body)
    place, message = MISTAKES[body]
    assert error.where == f"m.yaml:{place}"
    assert error.message.startswith(message)


def test_the_nearest_name_is_suggested():
    assert failure("rewrites: [{renam: {a: b}}]").hint.startswith("did you mean 'rename'?")
    assert failure("rewrites: [{from: a, to: b, ops: [{rearange: a}]}]").hint.startswith("did you mean 'rearrange'?")
    assert failure("params: {heads: 1}\nrewrites: [{from: 'a.{x}', to: 'a.{head}'}]").hint.startswith(
        "did you mean 'heads'?"
    )


def test_the_version_of_the_grammar_is_required():
    for text, message in (
        ("rewrites: []", "lacks 'ckptlint'"),
        ("ckptlint: 2", "this version of ckptlint reads version 1"),
    ):
        with pytest.raises(DocumentError, match=message):
            read_migration(text, "m.yaml")


def test_conditions_may_tell_equal_patterns_apart():
    body = "- {keep: a, when: {has: b}}\n- {drop: {keys: a, reason: r}, when: {lacks: b}}"
    assert len(rewrites(body)) == 2


def test_the_digest_is_of_what_the_file_says():
    digest = read_migration(GRAMMAR, "g.yaml").digest
    assert len(digest) == 64
    said_otherwise = (
        GRAMMAR.replace("# version of this grammar", "")
        .replace("blocks renamed", "other words")
        .replace("[10]", "[ 10 ]")
    )
    assert read_migration(said_otherwise, "other.yaml").digest == digest
    assert (
        read_migration(
            GRAMMAR.replace("rest: keep\n", "").replace("rewrites:", "rest: keep\nrewrites:"), "g.yaml"
        ).digest
        == digest
    )
    assert read_migration(GRAMMAR.replace("[10]", "[11]"), "g.yaml").digest != digest
    assert read_migration(GRAMMAR.replace("[10]", '["10"]'), "g.yaml").digest != digest


def test_the_demo_can_be_read():
    path = Path(__file__).parents[2] / "docs" / "demo" / "migration.yaml"
    assert len(read_migration(path.read_bytes(), str(path)).stages[0].rewrites) == 9


PIECES = [
    "{", "}", "[", "]", ": ", "- ", "*", "**", "{i:int}", "{x}", "{p:path}", "{i+1}", "1", "-1", "1e9", "9" * 30, "null", "true", "~",
    "''", '"', "from", "to", "ops", "over: e", "only: [0]", "rename", "when: {has: a}", "\n", "  ", "lookup(t, x)", "rank(a.{n:int}, n)",
    "(" * 70, "{" * 30, "a/0", "split: {dim: 9}", "expect: E", "&a", "!!set", "#",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_mutations_give_migrations_or_document_errors(seed):
    chance = random.Random(seed)
    for _ in range(250):
        text = GRAMMAR
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(text))
            text = text[:place] + chance.choice(PIECES) + text[place + chance.choice((0, 1, 6)) :]
        with suppress(DocumentError):
            read_migration(text, "m.yaml")


LINES = GRAMMAR.splitlines()


@pytest.mark.parametrize("seed", range(4))
def test_lines_and_words_in_another_order_give_migrations_or_document_errors(seed):
    chance = random.Random(seed)
    words = GRAMMAR.replace(",", " , ").split(" ")
    for _ in range(150):
        lines = LINES.copy()
        one, two = chance.randrange(len(lines)), chance.randrange(len(lines))
        lines[one] = lines[two].replace(chance.choice(words) or "x", chance.choice(words))
        with suppress(DocumentError):
            read_migration("\n".join(lines), "m.yaml")
