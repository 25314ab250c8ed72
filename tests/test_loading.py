"""`load` and `install`: what old code saved goes into today's model, held to what torch makes of the same tensors by hand."""

import copy
import warnings

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402  it needs torch

import ckptlint  # noqa: E402
from ckptlint.core.chain import revision_id  # noqa: E402
from ckptlint.core.digest import k1  # noqa: E402
from ckptlint.documents.migrations import read_migration  # noqa: E402
from ckptlint.errors import CkptlintError, PlanError, UsageError  # noqa: E402

BODIES = [
    "rewrites: [{rename: {'enc.{x:path}': 'encoder.{x}'}}]\nrest: keep\n",
    "rewrites:\n- {from: 'encoder.qkv.{t}', to: ['encoder.q.{t}', 'encoder.k.{t}'], ops: [split: {dim: 0, parts: 2}]}\nrest: keep\n",
]


class Split(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.norm = nn.Linear(3, 2), nn.Linear(3, 2), nn.BatchNorm1d(2)

    def get_extra_state(self):
        return {"seen": 7}

    def set_extra_state(self, state):
        self.seen = state["seen"]


class Today(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Split()
        self.head = nn.Linear(2, 1)


@pytest.fixture
def old():
    """What the first version saved: one fused layer, under another name."""
    torch.manual_seed(0)
    norm = {f"enc.norm.{key}": value.clone() for key, value in nn.BatchNorm1d(2).state_dict().items()}
    return {
        "enc.qkv.weight": torch.randn(4, 3),
        "enc.qkv.bias": torch.randn(4),
        **norm,
        "enc._extra_state": {"seen": 9},
        "head.weight": torch.randn(1, 2),
        "head.bias": torch.randn(1),
    }


@pytest.fixture
def chain(tmp_path, old):
    folder = tmp_path / "chain"
    folder.mkdir()
    middle = {key.replace("enc.", "encoder."): value for key, value in old.items()}
    parent = ""
    for number, (body, state) in enumerate(zip(BODIES, (old, middle), strict=True), 1):
        tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
        place = f"from: '{k1(ckptlint.snapshot(tensors))}'" + (f", parent: {parent}" if parent else "")
        text = f"ckptlint: 1\nchain: {{{place}}}\n{body}"
        (folder / f"{number:04d}.yaml").write_text(text, encoding="utf-8")
        parent = revision_id(number, parent, read_migration(text, "x").body)
    return folder


def check(model, old):
    now = model.state_dict()
    assert torch.equal(now["encoder.q.weight"], old["enc.qkv.weight"][:2])
    assert torch.equal(now["encoder.k.weight"], old["enc.qkv.weight"][2:])
    assert torch.equal(now["encoder.k.bias"], old["enc.qkv.bias"][2:])
    assert torch.equal(now["head.weight"], old["head.weight"])


@pytest.mark.parametrize("assign", [False, True])
def test_an_old_state_dict_is_loaded_and_left_as_it_was(chain, old, assign):
    model, before = Today(), copy.deepcopy(old)
    ckptlint.install(model, chain)
    model.load_state_dict(old, assign=assign)
    check(model, old)
    assert model.encoder.seen == 9
    assert list(old) == list(before)
    storages = [each.untyped_storage().data_ptr() for each in model.state_dict().values() if torch.is_tensor(each)]
    assert len(set(storages)) == len(storages)
    if assign:
        assert all(isinstance(each, nn.Parameter) for each in model.parameters())


def test_one_of_the_middle_is_loaded_too(chain, old):
    model = Today()
    ckptlint.install(model, chain)
    model.load_state_dict({key.replace("enc.", "encoder."): value for key, value in old.items()})
    check(model, old)


def test_it_works_under_a_wrapper(chain, old):
    model = Today()
    ckptlint.install(model, chain)
    wrapped = nn.Sequential(nn.Linear(1, 1), model)
    state = {f"0.{key}": value for key, value in nn.Linear(1, 1).state_dict().items()}
    wrapped.load_state_dict({**state, **{f"1.{key}": value for key, value in old.items()}})
    check(model, old)


def test_todays_state_dict_is_not_touched_and_a_strange_one_is_said(chain, old):
    model, other = Today(), Today()
    handle = ckptlint.install(model, chain)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.load_state_dict(other.state_dict())
    assert torch.equal(model.head.weight, other.head.weight)
    with pytest.warns(UserWarning, match="nothing tells where in the chain"):
        missing, unexpected = model.load_state_dict({"head.weight": torch.ones(1, 2), "x": torch.ones(1)}, strict=False)
    assert "head.bias" in missing
    assert unexpected == ["x"]
    assert torch.equal(model.head.weight, torch.ones(1, 2))
    handle.remove()
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict(old)


def test_what_the_chain_does_not_know_stays_an_error_of_torchs(chain):
    model = Today()
    ckptlint.install(model, chain)
    with pytest.raises(RuntimeError, match="Unexpected key"), pytest.warns(UserWarning, match="as it is"):
        model.load_state_dict({"x": torch.ones(1)})


def test_to_compute_with_a_sparse_tensor_is_refused(chain, old):
    model = Today()
    ckptlint.install(model, chain)
    old["enc.qkv.weight"] = old["enc.qkv.weight"].to_sparse()
    with pytest.raises(PlanError, match=r"enc\.qkv\.weight is no plain dense tensor"):
        model.load_state_dict(old)


def test_a_file_of_any_revision_is_loaded(chain, old, tmp_path):
    del old["enc._extra_state"]
    torch.save({"epoch": 1, "model": old}, tmp_path / "old.pt")
    model = nn.Module()
    model.encoder, model.head = nn.Module(), nn.Linear(2, 1)
    model.encoder.q, model.encoder.k, model.encoder.norm = nn.Linear(3, 2), nn.Linear(3, 2), nn.BatchNorm1d(2)
    done = ckptlint.load(tmp_path / "old.pt", model, chain=chain, start="base")
    assert (done.section, done.start, done.end[:4]) == ("/model", "base", "0002")
    check(model, old)
    torch.save(model.state_dict(), tmp_path / "new.pt")
    again = copy.deepcopy(model)
    nn.init.zeros_(again.head.weight)
    done = ckptlint.load(tmp_path / "new.pt", again, chain=chain, start="head")
    assert done.start == done.end
    check(again, old)
    nn.init.zeros_(again.head.weight)
    assert ckptlint.load(tmp_path / "new.pt", again).missing == ()
    check(again, old)


def test_what_is_read_is_verified(tmp_path):
    torch.save({"weight": torch.full((1, 2), 3.0), "bias": torch.zeros(1)}, tmp_path / "x.pt")
    content = (tmp_path / "x.pt").read_bytes()
    three = torch.tensor(3.0).numpy().tobytes()
    (tmp_path / "x.pt").write_bytes(content.replace(three * 2, three + b"\0\0\0\0"))
    with pytest.raises(CkptlintError, match="damaged"):
        ckptlint.load(tmp_path / "x.pt", nn.Linear(2, 1))


def test_what_does_not_fit_is_an_error_with_torchs_words(tmp_path):
    torch.save(nn.Linear(2, 1).state_dict(), tmp_path / "x.pt")
    with pytest.raises(PlanError, match="size mismatch"):
        ckptlint.load(tmp_path / "x.pt", nn.Linear(3, 1))
    done = ckptlint.load(tmp_path / "x.pt", nn.Sequential(nn.Linear(2, 1)), strict=False)
    assert done.missing == ("0.weight", "0.bias")
    with pytest.raises(UsageError, match="are for a chain"):
        ckptlint.load(tmp_path / "x.pt", nn.Linear(2, 1), to="base")


def test_what_the_model_begins_with_is_what_it_holds(tmp_path):
    (tmp_path / "chain").mkdir()
    text = (
        "ckptlint: 1\nrewrites:\n- new: {key: bias, shape: [1], dtype: f32, init: {from_model: true}}\n"
        "- new: {key: scale, shape: [2], dtype: f32, fill: 2}\nrest: keep\n"
        f"chain: {{from: '{k1(ckptlint.snapshot({'weight': [1, 2]}))}'}}\n"
    )
    (tmp_path / "chain" / "0001.yaml").write_text(text, encoding="utf-8")
    model = nn.Linear(2, 1)
    model.scale = nn.Parameter(torch.zeros(2))
    bias = model.bias.detach().clone()
    ckptlint.install(model, tmp_path / "chain")
    model.load_state_dict({"weight": torch.ones(1, 2)})
    assert torch.equal(model.bias, bias)
    assert model.scale.tolist() == [2.0, 2.0]


def test_only_modules_and_chains_are_taken(chain, tmp_path):
    with pytest.raises(UsageError, match=r"no nn\.Module"):
        ckptlint.install({}, chain)
    with pytest.raises(UsageError):
        ckptlint.install(nn.Linear(1, 1), tmp_path / "absent")
    with pytest.raises(UsageError):
        ckptlint.install(nn.Linear(1, 1), chain, to="0009")
