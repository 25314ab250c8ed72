"""What `inspect` shows of the values beside the weights."""

from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.tree import Dict, List, Value
from ckptlint.report.inspection import text


def shown(root: Value, *, flat: bool = False) -> list[str]:
    lines = list(text(Checkpoint(root, (), "torch-zip", "x.pt", ()), "", flat=flat))
    return [line.strip() for line in lines[lines.index("beside the sections:") + 1 :]]


def test_a_long_list_is_counted_unless_flat():
    root = Dict([("rng", List([3, List(list(range(100, 725)))]))])
    assert shown(root) == ["/rng/0  3", "/rng/1/*  625 different values, the first is 100"]
    assert len(shown(root, flat=True)) == 626


def test_equal_values_of_a_list_fold_and_unlike_things_do_not():
    root = Dict([("epoch", 3), ("schedule", Dict([("steps", 3), ("rates", List([0.1, 0.1]))]))])
    assert shown(root) == ["/epoch  3", "/schedule/steps  3", "/schedule/rates/{0,1}  0.1"]
