"""Fifty real conversions, each a YAML file: as in plain torch, and bit for bit as the original function where that can be run.

`golden.json` holds what the originals give, made by oracle.py. Shapes are inferred without data; the grade of going back is as the file
says, or better, and what is exact is gone back.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from inputs import array

from ckptlint.core.operation import Grade
from ckptlint.core.schema import Schema
from ckptlint.documents.migrations import read_migration
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.invert import undo
from ckptlint.engine.planner import make_plan
from ckptlint.kits.numpy_kit import NumpyKit

torch = pytest.importorskip("torch")
from references import REFERENCES  # noqa: E402  it needs torch

from ckptlint.kits.torch_kit import TorchKit, as_array, as_tensor  # noqa: E402  it needs torch

HERE = Path(__file__).parent
PATHS = sorted((HERE / "cases").iterdir())
GOLDEN = json.loads((HERE / "golden.json").read_text(encoding="utf-8"))
SUMMED = {
    23,
    26,
    29,
    30,
    31,
    37,
    38,
    39,
    42,
    45,
    49,
}  # floats are added up or rounded by other functions: 2e-6 is allowed
GRADES = [Grade.EXACT, Grade.APPROXIMATE, Grade.RESTORABLE, Grade.ONE_WAY]
every = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def case_of(path):
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    migration = read_migration(json.dumps({"ckptlint": 1, "rewrites": case["rewrites"]} | _params(case)), path.name)
    return case, make_plan(schema(case["source"]), migration, HeaderFacts(params=case.get("params", {})))


def _params(case):
    return {"params": case["params"]} if "params" in case else {}


def schema(specs):
    return Schema.of(*(f"{key}: {spec}" for key, spec in specs.items()))


def carried_out(plan, kit, state):
    values = {plan.inputs[key]: tensor for key, tensor in state.items()}
    for step in plan.steps:
        made = step.op.apply(kit, tuple(values[number] for number in step.inputs))
        values.update(zip(step.outputs, made, strict=True))
    return {key: values[number] for key, number in plan.outputs.items()}


def bits(array):
    return array.spec, NumpyKit().dump(array).tobytes()


def test_there_are_fifty():
    assert [int(path.stem[:2]) for path in PATHS] == list(range(1, 51)) == sorted(REFERENCES)


@every
def test_shapes_are_inferred_and_the_way_back_is_graded(path):
    case, plan = case_of(path)
    assert {key: str(spec) for key, spec in plan.target.tensors.items()} == case["target"]
    assert GRADES.index(undo(plan).grade) <= GRADES.index(case["grade"])


@every
def test_it_gives_what_torch_gives_and_goes_back(path):
    case, plan = case_of(path)
    number = int(path.stem[:2])
    state = {key: array(key, spec) for key, spec in case["source"].items()}
    made = carried_out(plan, NumpyKit(), state)
    wanted = REFERENCES[number]({key: as_tensor(each) for key, each in state.items()})
    assert made.keys() == wanted.keys()
    for key, tensor in wanted.items():
        same(number, as_tensor(made[key]), tensor)
    by_torch = carried_out(plan, TorchKit(), {key: as_tensor(each) for key, each in state.items()})
    for key, tensor in by_torch.items():
        same(number, as_tensor(made[key]), tensor)
    undone = undo(plan)
    if undone.grade is Grade.EXACT:
        back = carried_out(undone.plan, NumpyKit(), made)
        assert {key: bits(each) for key, each in back.items()} == {key: bits(each) for key, each in state.items()}


@pytest.mark.parametrize("number", sorted(map(int, GOLDEN)))
def test_it_gives_what_the_original_gives(number):
    (path,) = [path for path in PATHS if int(path.stem[:2]) == number]
    case, plan = case_of(path)
    made = carried_out(plan, NumpyKit(), {key: array(key, spec) for key, spec in case["source"].items()})
    assert sorted(made) == sorted(GOLDEN[str(number)])
    for key, text in GOLDEN[str(number)].items():
        data = np.frombuffer(bytes.fromhex(text), "<f4").reshape(made[key].spec.shape)
        same(number, as_tensor(made[key]), torch.from_numpy(data.copy()))


def same(number, ours, theirs):
    if number in SUMMED:
        torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=2e-6)
    else:
        assert bits(as_array(ours)) == bits(as_array(theirs))


def test_another_input_gives_another_output():
    """The comparison can fail: a conversion with two of its heads exchanged is seen."""
    case, plan = case_of(PATHS[0])
    state = {"w": array("w", case["source"]["w"])}
    made = carried_out(plan, NumpyKit(), state)["w"]
    assert bits(made) != bits(state["w"])
