"""Steps of `tree:` on files that torch saved: what torch loads afterwards is what the same change in Python gives."""

import copy
import json
from collections import OrderedDict, defaultdict

import pytest

torch = pytest.importorskip("torch")

from migrating import migrated, migrated_file, write_migration  # noqa: E402  needs torch

from ckptlint.cli import main  # noqa: E402
from ckptlint.commands.migrate import Request, migrate  # noqa: E402
from ckptlint.errors import PlanError  # noqa: E402


class Info:
    """An object of a class that ckptlint does not know."""

    def __init__(self, targets):
        self.targets = targets


def checkpoint():
    return {
        "model": {"a": torch.ones(2), "config": {"kind": "x"}},
        "ema": {"a": torch.zeros(2)},
        "info": Info({"energy": 1, "forces": 2}),
        "hypers": {"d": 3, "lr": 0.5, "loss": {"type": "mse", "weights": {"energy": 1.0, "forces": 2.0}}},
        "epoch": 7,
    }


def after(tmp_path, steps, value=None, **more):
    return migrated(tmp_path, checkpoint() if value is None else value, f"tree:\n{steps}", **more)


def same(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return type(one) is type(other) and list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return vars(one) == vars(other) if isinstance(one, Info) else (type(one), one) == (type(other), other)


def changed(path, value):
    expected = checkpoint()
    *above, last = path
    inner = expected
    for key in above:
        inner = inner[key]
    inner[last] = value
    return expected


VALUES = {
    "- set: {/epoch: 8}": (["epoch"], 8),
    "- set: {/epoch: null}": (["epoch"], None),
    "- set: {/hypers/loss: {a: [1, 2.5, {}], b: true}}": (["hypers", "loss"], {"a": [1, 2.5, {}], "b": True}),
    "- set: {/model/version: '3'}": (["model", "version"], "3"),
    "- default: {/epoch: 8}": (["epoch"], 7),
    "- default: {/seed: 8}": (["seed"], 8),
    "- compute: {/hypers/n: 4 * d + epoch}\n  read: {d: /hypers/d, epoch: /epoch}": (["hypers", "n"], 19),
    "- compute: {/hypers/lr: lr / 4}\n  read: {lr: /hypers/lr}": (["hypers", "lr"], 0.125),
    "- compute: {/epoch: 1}\n  if: absent": (["epoch"], 7),
    "- copy: {from: /hypers/loss/weights, to: /w}": (["w"], {"energy": 1.0, "forces": 2.0}),
    "- copy: {from: /hypers/finetune, to: /w, else: {}}": (["w"], {}),
    "- copy: {from: /hypers/d, to: /epoch, if: absent}": (["epoch"], 7),
    "- copy: {from: /info@/targets, to: /w}": (["w"], {"energy": 1, "forces": 2}),
    "- set: {/epoch: 8}\n  when: {tree: {/hypers/loss/type: [mse, mae]}}": (["epoch"], 8),
    "- set: {/epoch: 8}\n  when: {tree: {/hypers/loss/type: mae}}": (["epoch"], 7),
    "- set: {/epoch: 8}\n  when: {absent: /hypers, present: /epoch}": (["epoch"], 7),
    "- set: {/epoch: 8}\n  when: {falsy: [/nothing, /none], type: {/hypers: dict, /hypers/lr: number}}": (["epoch"], 8),
    "- set: {/epoch: 8}\n  when: {has: b}": (["epoch"], 7),
    "- set: {/model/config/kind: 'y'}\n  when: {tree: {/model/config/kind: x}}": (["model", "config", "kind"], "y"),
}


@pytest.mark.parametrize("steps", VALUES)
def test_one_value_changes_and_nothing_else(steps, tmp_path):
    assert same(after(tmp_path, steps), changed(*VALUES[steps]))


def test_places_are_renamed_with_captures_and_what_is_made_for_them_stands_last(tmp_path):
    result = after(tmp_path, "- rename: {'/hypers/loss/weights/{t}': '/hypers/loss/{t}/weight'}")
    assert result["hypers"]["loss"] == {
        "type": "mse",
        "weights": {},
        "energy": {"weight": 1.0},
        "forces": {"weight": 2.0},
    }


def test_a_rename_keeps_its_place_and_may_swap(tmp_path):
    result = after(tmp_path, "- rename: {/epoch: /hypers, /hypers: /epoch, /ema: /averaged}")
    assert list(result) == ["model", "averaged", "info", "epoch", "hypers"]
    assert (result["hypers"], result["epoch"]["d"]) == (7, 3)


def test_a_range_is_over_the_keys_of_a_mapping_also_in_an_object(tmp_path):
    steps = "- {each: {t: {keys: /info@/targets}}, set: {'/hypers/loss/{t}': {reduction: mean}}}"
    loss = after(tmp_path, steps)["hypers"]["loss"]
    assert loss["energy"] == loss["forces"] == {"reduction": "mean"}
    assert loss["energy"] is not loss["forces"]
    steps = "- {each: {t: [a, b], n: [1, 2]}, set: {'/{t}{n}': 0}}"
    assert list(after(tmp_path, steps))[-4:] == ["a1", "a2", "b1", "b2"]


def test_members_with_a_place_of_their_own_are_told_by_conditions(tmp_path):
    steps = "- delete: {paths: '/hypers/loss/weights/{t}', reason: it is one}\n  when: {tree: {'/hypers/loss/weights/{t}': 1.0}}"
    assert after(tmp_path, steps)["hypers"]["loss"]["weights"] == {"forces": 2.0}


def test_paths_with_a_dot_are_inside_each_copy_of_the_weights(tmp_path):
    steps = "- copy: {from: /hypers/loss, to: ./loss}\n- set: {./n: 1}\n- rename: {./config: ./cfg}\n  optional: true"
    result = after(tmp_path, steps)
    assert list(result["model"]) == ["a", "cfg", "loss", "n"]
    assert list(result["ema"]) == ["a", "loss", "n"]
    assert result["model"]["loss"] == result["ema"]["loss"] == result["hypers"]["loss"]
    assert result["model"]["loss"] is not result["ema"]["loss"]


def test_what_is_tied_is_one_object_and_what_is_copied_is_not(tmp_path):
    result = after(
        tmp_path,
        "- copy: {from: /hypers, to: /tied, as: tie}\n- copy: {from: /hypers, to: /own}\n- set: {/hypers/d: 9}",
    )
    assert result["tied"] is result["hypers"]
    assert (result["tied"]["d"], result["own"]["d"]) == (9, 3)


def test_what_the_file_shares_changes_in_both_places_and_that_is_said(tmp_path, capsys):
    shared = {"x": 1}
    result = after(tmp_path, "- set: {/one/x: 2}", {"one": shared, "two": {"in": shared}, "w": torch.ones(1)})
    assert result["one"] is result["two"]["in"]
    assert result["one"] == {"x": 2}
    assert "/two/in is the same object as /one, and changes with it" in capsys.readouterr().err
    steps = "- copy: {from: /one, to: /one}\n- set: {/one/x: 2}"
    result = after(tmp_path, steps, {"one": shared, "two": {"in": shared}, "w": torch.ones(1)})
    assert (result["one"], result["two"]["in"]) == ({"x": 2}, {"x": 1})


def test_containers_keep_their_classes_and_keys_their_types(tmp_path):
    value = {
        "w": torch.ones(1),
        "o": OrderedDict(b=1, a=2),
        "d": defaultdict(list, {"k": [1]}),
        "n": {0: "x", 1: "y"},
        "t": (1, (2, 3)),
        "l": [1, [2], 3],
    }
    steps = (
        "- set: {/o/b: 5, /d/k/0: 6, /n/0: z, /n/7: new, /t/1/0: 8, /l/1/0: 9}\n- delete: {paths: [/l/0], reason: gone}"
    )
    expected = copy.deepcopy(value)
    expected["o"]["b"], expected["d"]["k"][0], expected["n"][0], expected["n"][7] = 5, 6, "z", "new"
    expected["t"], expected["l"] = (1, (8, 3)), [[9], 3]
    result = after(tmp_path, steps, value)
    assert same(result, expected)
    assert result["d"].default_factory is list


def test_a_whole_state_dict_may_be_copied_and_shares_its_tensors(tmp_path):
    value = {"model": {"a": torch.ones(2)}, "best": None}
    first = "tree:\n- copy: {from: /model, to: /best}\n  when: {falsy: /best}\n"
    result = migrated(tmp_path, value, first, "rewrites:\n- from: a\n  to: b\n  ops: [flip: {dim: 0}]\n")
    assert list(result["model"]) == list(result["best"]) == ["b"]
    assert result["model"]["b"].data_ptr() == result["best"]["b"].data_ptr()
    assert result["model"] is not result["best"]


def test_state_dicts_and_tensors_move_with_what_was_computed_of_them(tmp_path):
    value = {"model": {"a": torch.tensor([1.0, 2.0]), "b": torch.ones(1)}, "stats": {"mean": torch.zeros(3)}, "n": 1}
    flip = "rewrites:\n- from: a\n  to: c\n  ops: [flip: {dim: 0}]\nrest: keep\ntree:\n"
    steps = "- rename: {./c: /flipped}\n- copy: {from: /stats/mean, to: ./mean}\n- rename: {/model: /net}\n"
    result = migrated(tmp_path, value, flip + steps, "rewrites: [{rename: {mean: m}}]\nrest: keep")
    assert list(result) == ["net", "stats", "n", "flipped"]
    assert result["flipped"].tolist() == [2.0, 1.0]
    assert list(result["net"]) == ["b", "m"]
    assert result["net"]["m"].tolist() == [0, 0, 0]


def test_classes_are_renamed_without_importing_them(tmp_path):
    value = {"w": torch.ones(1), "info": Info({})}
    torch.save(value, tmp_path / "in.pt")
    steps = "tree:\n- rename_class: {'{p:path}.Info': 'gone.models.{p}.Info'}\n"
    output = migrated_file(tmp_path, tmp_path / "in.pt", steps)
    with pytest.raises(ModuleNotFoundError, match="gone"):
        torch.load(output, weights_only=False)
    back = tmp_path / "back.pt"
    migrate(Request(str(output), [str(write_migration(tmp_path, steps))], str(back), reverse=True))
    assert same(torch.load(back, weights_only=False), value)


def test_entries_that_are_no_tensors_go_with_their_modules(tmp_path):
    value = {"module.bn.weight": torch.ones(1), "module.bn._extra_state": {"n": 1}, "_extra_state": "root", "epoch": 3}
    value = {"model": {key: each for key, each in value.items() if key != "_extra_state"}}
    body = "prefix: {strip: [module.]}\nrewrites: [{rename: {'bn.{p:path}': 'norm.{p}'}}]\n"
    result = migrated(tmp_path, value, body)
    assert list(result["model"]) == ["norm.weight", "norm._extra_state", "epoch"]


REFUSED = {
    "- set: {/hyper/d: 1}": "there is nothing at /hyper",
    "- set: {/epoch/x: 1}": "/epoch is no mapping, and holds no places",
    "- set: {/model/a/x: 1}": "/model/a is a tensor, and holds no places",
    "- set: {/info/x: 1}": "/info is an object of .*Info, which is carried over whole",
    "- rename: {/info@/targets: /targets}": "/info/targets is in the state of an object",
    "- delete: {paths: /info@/targets, reason: r}": "/info/targets is in the state of an object",
    "- rename: {/nothing: /x}": "there is nothing at /nothing",
    "- rename: {/epoch: /model}": "/model is there already",
    "- rename: {/hypers: /h, /hypers/d: /d}": "/hypers/d and /hypers are both renamed",
    "- rename: {/epoch: /x, '/{k}': /y}\n  when: {tree: {/epoch: 7}}": "one place is renamed twice",
    "- delete: {paths: /nothing, reason: r}": "there is nothing at /nothing",
    "- copy: {from: /nothing, to: /x}": "there is nothing at /nothing",
    "- copy: {from: /hypers, to: /hypers/x, as: tie}": "which cannot hold itself",
    "- compute: {/x: d}\n  read: {d: /model}": "/model is a mapping of 2, not a number",
    "- compute: {/x: d / 2}\n  read: {d: /epoch}": "7/2 is not a whole number",
    "- compute: {/x: 1 / d}\n  read: {d: /zero}\n- set: {/zero: 1}": "there is nothing at /zero",
    "- refuse: use version 3\n  when: {tree: {/epoch: 7}}": "use version 3",
    "- rename_class: {no.Such: a.B}": "the file refers to no no.Such",
    "- {each: {t: {keys: /nothing}}, set: {'/{t}': 1}}": "there is nothing at /nothing",
}


@pytest.mark.parametrize("steps", REFUSED)
def test_what_does_not_fit_is_refused_and_nothing_is_written(steps, tmp_path):
    with pytest.raises(PlanError, match=REFUSED[steps]) as caught:
        after(tmp_path, steps)
    assert "tree[0]" in str(caught.value)
    assert not list(tmp_path.glob("out*"))


CASES = """
cases:
- when: {has: old.w}
  rewrites: [{rename: {'old.{x}': 'new.{x}'}}]
  tree: [{set: {/layout: old}}]
- when: {has: older.w}
  rewrites: [{rename: {'older.{x}': 'new.{x}'}}]
  tree: [{set: {/layout: older}}]
tree:
- set: {/version: 2}
"""


@pytest.mark.parametrize("layout", ["old", "older"])
def test_exactly_one_case_must_hold(layout, tmp_path):
    result = migrated(tmp_path, {"model": {f"{layout}.w": torch.ones(1)}}, CASES)
    assert (list(result["model"]), result["layout"], result["version"]) == (["new.w"], layout, 2)


def test_the_way_back_finds_the_case_by_itself_where_one_alone_would_give_the_file(tmp_path):
    body = CASES.replace(
        "rewrites: [{rename: {'older.{x}': 'new.{x}'}}]", "rewrites: [{rename: {'older.{x}': 'other.{x}'}}]"
    )
    body = body.replace("set: {/layout", "default: {/layout").replace(
        "- set: {/version: 2}", "- default: {/version: 2}"
    )
    for layout in ("old", "older"):
        value = {"model": {f"{layout}.w": torch.ones(1)}}
        torch.save(value, tmp_path / "in.pt")
        output = migrated_file(tmp_path, tmp_path / "in.pt", body)
        back = tmp_path / f"{layout}.pt"
        migrate(Request(str(output), [str(write_migration(tmp_path, body))], str(back), reverse=True))
        assert same(torch.load(back), value)
    ambiguous = body.replace("other.{x}", "new.{x}")
    with pytest.raises(PlanError, match="2 of the migration's cases would give this file"):
        migrate(
            Request(
                str(migrated_file(tmp_path, tmp_path / "in.pt", ambiguous)),
                [str(write_migration(tmp_path, ambiguous))],
                str(tmp_path / "x.pt"),
                reverse=True,
            )
        )


def test_no_case_or_two_is_an_error(tmp_path):
    with pytest.raises(PlanError, match="0 of the migration's 2 cases hold"):
        migrated(tmp_path, {"model": {"x.w": torch.ones(1)}}, CASES)
    with pytest.raises(PlanError, match=r"2 of the migration's 2 cases hold, .*cases\[0\] and .*cases\[1\]"):
        migrated(tmp_path, {"model": {"old.w": torch.ones(1), "older.w": torch.ones(1)}}, CASES)
    with pytest.raises(PlanError, match="its state dicts are of different cases"):
        migrated(tmp_path, {"model": {"old.w": torch.ones(1)}, "ema": {"older.w": torch.ones(1)}}, CASES)


BACK = """
when: {tree: {/version: 1}, absent: /added}
rewrites: [{rename: {a: b}}]
rest: keep
tree:
- set: {/version: 2, /added: {x: 1}}
- default: {/seed: 0}
- compute: {/hypers/n: 2 * d}
  if: absent
  read: {d: /hypers/d}
- copy: {from: /hypers/d, to: ./d, if: absent}
- rename: {'/hypers/loss/weights/{t}': '/hypers/loss/{t}/weight', /epoch: /step}
- delete: {paths: /version2, reason: never there}
  optional: true
"""


def test_the_way_back_gives_the_same_tree_in_the_same_order(tmp_path):
    value = checkpoint() | {"version": 1}
    torch.save(value, tmp_path / "old.pt")
    body = BACK.replace("- delete: {paths: /version2, reason: never there}\n  optional: true\n", "")
    output = migrated_file(tmp_path, tmp_path / "old.pt", body)
    assert torch.load(output, weights_only=False)["hypers"]["n"] == 6
    back = tmp_path / "back.pt"
    migrate(Request(str(output), [str(write_migration(tmp_path, body))], str(back), reverse=True))
    assert same(torch.load(back, weights_only=False), value)


def test_what_cannot_be_undone_is_named(tmp_path):
    torch.save(checkpoint() | {"version": 1}, tmp_path / "old.pt")
    body = BACK + "- set: {/epoch: 9}\n"
    output = migrated_file(tmp_path, tmp_path / "old.pt", body)
    with pytest.raises(PlanError, match=r"(?s)deletes /version2.*sets /epoch, whatever stood there"):
        migrate(Request(str(output), [str(write_migration(tmp_path, body))], str(tmp_path / "b.pt"), reverse=True))


def test_odd_trees_are_edited_too(tmp_path):
    ring = []
    ring.append(ring)
    deep = inner = []
    for _ in range(200):
        inner.append([])
        inner = inner[0]
    value = {"w": torch.ones(1), "ring": ring, "deep": deep, "big": 10**2000}
    steps = "- copy: {from: /deep, to: /again}\n- set: {/big: 1, /ring/0: 2}\n- copy: {from: /ring, to: /own}"
    result = after(tmp_path, steps, value)
    assert (result["big"], result["ring"], result["own"]) == (1, [2], [2])
    depth = 0
    inner = result["again"]
    while inner:
        inner, depth = inner[0], depth + 1
    assert depth == 200


def test_a_dry_run_and_prove_say_what_the_tree_becomes(tmp_path, capsys):
    torch.save(checkpoint() | {"version": 1}, tmp_path / "old.pt")
    path = str(write_migration(tmp_path, BACK))
    assert main(["migrate", str(tmp_path / "old.pt"), "-m", path, "--dry-run", "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)["tree"]
    assert [(each["form"], each["place"]) for each in said] == [
        ("set", "/version"),
        ("set", "/added"),
        ("default", "/seed"),
        ("compute", "/hypers/n"),
        ("copy", "/model/d"),
        ("copy", "/ema/d"),
        ("rename", "/epoch -> /step"),
        ("rename", "/hypers/loss/weights/energy -> /hypers/loss/energy/weight"),
        ("rename", "/hypers/loss/weights/forces -> /hypers/loss/forces/weight"),
    ]
    assert (said[0]["before"], said[0]["after"]) == ("1", "2")
    assert main(["prove", path, "--source", str(tmp_path / "old.pt"), "--format", "json"]) == 0
    (proof,) = json.loads(capsys.readouterr().out)["migrations"]
    assert [step["grade"] for step in proof["tree"]] == ["exact"] * 6 + ["restorable"]
    assert (proof["grade"], proof["again"]) == ("restorable", "refused")
