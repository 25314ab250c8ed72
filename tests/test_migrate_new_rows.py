"""Rows that a migration adds by an initialiser: what stays, what is drawn, the way back, and the optimizer's state of them."""

import textwrap
from pathlib import Path

import pytest

from ckptlint.commands.migrate import Request, migrate
from ckptlint.errors import CkptlintError

torch = pytest.importorskip("torch")

REMAP = "remap_rows: {old: [a, b, c], new: [d, c, a, e, b], init: {normal: 0.02, seed: 3}}"
PAD = "pad: {dim: 0, before: 1, to: 7, init: {uniform: 0.5, seed: 3}}"


@pytest.fixture
def moved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(op, old, *, keys=("w", "w"), **more):
        torch.save(old, "old.pt")
        Path("m.yaml").write_text(
            f"ckptlint: 1\nrewrites:\n- {{from: {keys[0]}, to: {keys[1]}, ops: [{op}]}}\nrest: keep\n"
        )
        migrate(Request("old.pt", ("m.yaml",), "new.pt", force=True, **more))
        return torch.load("new.pt")

    return run


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize(
    ("op", "kept", "made"), [(REMAP, {0: 2, 1: 4, 2: 1}, [0, 3]), (PAD, {0: 1, 1: 2, 2: 3}, [0, 4, 5, 6])]
)
def test_old_rows_stay_and_new_ones_differ(moved, op, kept, made, dtype):
    old = torch.randn(3, 64).to(dtype)
    new = moved(op, {"w": old})["w"]
    assert new.dtype == dtype
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[new.element_size()]
    assert all(torch.equal(old.view(bits)[one], new.view(bits)[other]) for one, other in kept.items())
    rows = [new[row].double() for row in made]
    assert all(0 < row.abs().max() < 0.6 and row.std() > 0.01 for row in rows)
    assert all(not torch.equal(one, other) for at, one in enumerate(rows) for other in rows[:at])
    assert torch.equal(moved(op, {"w": old})["w"].view(bits), new.view(bits)), "the same each time"


@pytest.mark.parametrize("op", [REMAP, PAD])
def test_the_way_back_leaves_them_out(moved, op):
    old = torch.randn(3, 4)
    moved(op, {"w": old})
    migrate(Request("new.pt", ("m.yaml",), "back.pt", reverse=True, source="old.pt"))
    assert torch.equal(torch.load("back.pt")["w"], old)


def test_two_tables_get_rows_of_their_own_and_tied_ones_stay_tied(moved):
    table = torch.randn(3, 8)
    new = moved(REMAP, {"1.w": table.clone(), "2.w": table.clone()}, keys=("'{i:int}.w'", "'{i}.w'"))
    assert not torch.equal(new["1.w"], new["2.w"])
    new = moved(REMAP, {"1.w": table, "2.w": table}, keys=("'{i:int}.w'", "'{i}.w'"))
    assert new["1.w"].data_ptr() == new["2.w"].data_ptr()


def test_rows_may_be_those_of_the_model(moved):
    Path("net.py").write_text(
        textwrap.dedent("""
        import torch
        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.w = torch.nn.Parameter(torch.randn(5, 4))
        """)
    )
    op = REMAP.replace("normal: 0.02", "from_model: true")
    old = torch.randn(3, 4)
    new = moved(op, {"v": old}, keys=("v", "w"), model="net.py:Net")["w"]
    torch.manual_seed(3)
    model = torch.randn(5, 4)
    assert torch.equal(new, torch.stack([model[0], old[2], old[0], model[3], old[1]]))
    with pytest.raises(CkptlintError, match="needs one key that becomes one"):
        moved(f"{op}, split: {{dim: 0, sizes: [2, 3]}}", {"v": old}, keys=("v", "[x, y]"), model="net.py:Net")


def test_new_rows_have_had_no_gradient(moved):
    model = torch.nn.ParameterDict({"w": torch.nn.Parameter(torch.randn(3, 4))})
    optimizer = torch.optim.AdamW(model.parameters())
    (model["w"] ** 2).sum().backward()
    optimizer.step()
    new = moved(REMAP, {"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    before, after = (each["optimizer"]["state"][0] for each in (torch.load("old.pt"), new))
    for kind in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(after[kind][[2, 4, 1]], before[kind])
        assert not after[kind][[0, 3]].any()
    assert torch.equal(after["step"], before["step"])


@pytest.mark.parametrize(
    ("op", "said"),
    [
        ("pad: {to: 5, init: {normal: -1}}", "cannot be -1"),
        ("pad: {to: 5, init: {normal: 1, uniform: 1}}", "needs one of"),
        ("pad: {to: 5, init: {seed: 1}}", "needs one of"),
        ("pad: {to: 5, init: {from_model: true, mean: 1}}", "means of its own"),
        ("pad: {to: 5, fill: mean, init: {normal: 1}}", "init excludes"),
        ("remap_rows: {old: [a], new: [b], missing: mean, init: {normal: 1}}", "init excludes"),
        ("pad: {to: 5, init: {normal: 0.02}}", "i64 elements cannot be drawn"),
        ("pad: {to: 2, init: {normal: 0.02}}", "more than 2"),
        ("assert: {allclose: 2}", "1 elements are not 2, such as 3"),
        ("assert: {allclose: 2, atol: 0.5}", "1 elements are not 2 within 0.5, such as 3"),
    ],
)
def test_what_cannot_be_is_refused(moved, op, said):
    with pytest.raises(CkptlintError, match=said):
        moved(op, {"w": torch.tensor([2, 2, 3])})


def test_what_is_near_enough_passes(moved):
    assert moved("assert: {allclose: 2, atol: 1}", {"w": torch.tensor([2, 2, 3])})["w"].tolist() == [2, 2, 3]
