"""A training run goes on bit for bit after its checkpoint was migrated: the optimizer's state follows the weights."""

import copy

import pytest

torch = pytest.importorskip("torch")

from migrating import migrated, migrated_file, write_migration  # noqa: E402  it needs torch
from torch import nn  # noqa: E402

from ckptlint.commands.migrate import Request, migrate  # noqa: E402
from ckptlint.errors import PlanError  # noqa: E402

WIDTH = 8
MIGRATION = """
rewrites:
  - from: blocks.{i:int}.qkv.{t}
    to: ["layers.{i}.q.{t}", "layers.{i}.k.{t}", "layers.{i}.v.{t}"]
    ops: [split: {dim: 0, parts: 3}]
  - rename: {"blocks.{i:int}.out.{t}": "layers.{i}.out.{t}", "norm.{t}": "final.{t}", "embed.weight": "tokens.weight"}
  - from: head.{t}
    to: head.{t}
    ops: [{slice: {dim: 0, stop: 5}}]
"""
MOVES = {"qkv": ("q", "k", "v")}


class OldBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return x + self.out(torch.softmax(q @ k.transpose(-1, -2), -1) @ v)


class NewBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = self.q(x), self.k(x), self.v(x)
        return x + self.out(torch.softmax(q @ k.transpose(-1, -2), -1) @ v)


class Old(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, WIDTH)
        self.blocks = nn.ModuleList(OldBlock() for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 7)

    def forward(self, tokens):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class New(nn.Module):
    """The same, with its head and norm registered before its blocks, which have their projections apart, and a smaller head."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(WIDTH, 5)
        self.final = nn.LayerNorm(WIDTH)
        self.tokens = nn.Embedding(11, WIDTH)
        self.layers = nn.ModuleList(NewBlock() for _ in range(2))

    def forward(self, tokens):
        x = self.tokens(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.final(x))


OPTIMIZERS = {
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.01, amsgrad=True),
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda groups: torch.optim.Adagrad(groups, lr=0.05),
    "adamax": lambda groups: torch.optim.Adamax(groups, lr=0.01),
    "rprop": lambda groups: torch.optim.Rprop(groups, lr=0.01),
}


def all_in_one(model):
    return model.parameters()


def all_named(model):
    return model.named_parameters()


def decaying_first(model):
    decaying = [each for each in model.parameters() if each.dim() > 1]
    return [
        {"params": decaying, "weight_decay": 0.1},
        {"params": [each for each in model.parameters() if each.dim() < 2]},
    ]


def head_apart(model):
    head = [each for name, each in model.named_parameters() if name.startswith("head")]
    others = [each for name, each in model.named_parameters() if not name.startswith("head")]
    return [{"params": head, "lr": 0.02}, {"params": others}]


def by_role(model):
    """Biases, the weight of the norm, and the rest."""
    roles = {"bias": [], "norm": [], "rest": []}
    for name, each in model.named_parameters():
        role = "bias" if name.endswith("bias") else "norm" if name in ("norm.weight", "final.weight") else "rest"
        roles[role].append(each)
    return [{"params": members} for members in roles.values()]


def train(model, optimizer, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(steps):
        tokens = torch.randint(11, (4, 6), generator=generator)
        loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1)[:, :5], tokens.flatten() % 5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def sources(name):
    """The old name of a new parameter, and which third of it."""
    for part, piece in enumerate("qkv"):
        if f".{piece}." in name:
            return name.replace("layers", "blocks").replace(f".{piece}.", ".qkv."), part
    return name.replace("layers", "blocks").replace("final", "norm").replace("tokens", "embed"), None


def by_hand(old, optimizer, make, groups_of):
    """The new model and its optimizer, moved as one would by hand, parameter by parameter."""
    new = New()
    new_optimizer = make(groups_of(new))
    old_parameters = dict(old.named_parameters())
    with torch.no_grad():
        for name, parameter in new.named_parameters():
            source, third = sources(name)

            def piece(tensor, third=third, parameter=parameter):
                if tensor.dim() == 0:
                    return tensor.clone()
                part = tensor if third is None else tensor.chunk(3)[third]
                return part[: parameter.shape[0]].clone()

            parameter.copy_(piece(old_parameters[source]))
            entry = optimizer.state.get(old_parameters[source], {})
            new_optimizer.state[parameter] = {
                key: piece(value) if torch.is_tensor(value) else copy.deepcopy(value) for key, value in entry.items()
            }
    return new, new_optimizer


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "order.json"

    def write(model):
        import json

        path.write_text(json.dumps({key: list(value.shape) for key, value in model.state_dict().items()}))
        return str(path)

    return write


KINDS = [(make, groups_of) for groups_of in (all_in_one, all_named, decaying_first) for make in OPTIMIZERS]
KINDS += [("adamw", head_apart), ("adamw", by_role)]


@pytest.mark.parametrize(("kind", "groups_of"), KINDS)
def test_training_goes_on_bit_for_bit(kind, groups_of, tmp_path, model_file):
    make = OPTIMIZERS[kind]
    torch.manual_seed(0)
    old = Old()
    optimizer = make(groups_of(old))
    train(old, optimizer, 5, seed=1)
    source = tmp_path / "old.pt"
    torch.save({"model": old.state_dict(), "optimizer": optimizer.state_dict()}, source)
    new, new_optimizer = by_hand(old, optimizer, make, groups_of)
    loaded = torch.load(migrated_file(tmp_path, source, MIGRATION, model=model_file(New())))
    resumed = New()
    resumed.load_state_dict(loaded["model"])
    resumed_optimizer = make(groups_of(resumed))
    resumed_optimizer.load_state_dict(loaded["optimizer"])
    if groups_of is all_named:
        assert [group["param_names"] for group in loaded["optimizer"]["param_groups"]] == [
            [name for name, _ in New().named_parameters()]
        ]
    wanted = train(new, new_optimizer, 20, seed=2)
    assert train(resumed, resumed_optimizer, 20, seed=2) == wanted
    fresh = New()
    fresh.load_state_dict(loaded["model"])
    assert train(fresh, make(groups_of(fresh)), 20, seed=2) != wanted


def test_the_way_back_gives_the_same_state(tmp_path):
    torch.manual_seed(0)
    old = Old()
    optimizer = torch.optim.Adam(old.parameters())
    train(old, optimizer, 3, seed=1)
    source = tmp_path / "old.pt"
    before = {"model": old.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(before, source)
    body = MIGRATION.replace("ops: [{slice: {dim: 0, stop: 5}}]", "")
    there = migrated_file(tmp_path, source, body)
    back = torch.load(migrated_file(tmp_path, there, body, reverse=True))
    assert back["optimizer"]["param_groups"] == before["optimizer"]["param_groups"]
    for number, entry in before["optimizer"]["state"].items():
        assert back["optimizer"]["state"][number].keys() == entry.keys()
        assert all(torch.equal(back["optimizer"]["state"][number][key], value) for key, value in entry.items())


def adam(shapes, *, steps=None):
    """A state dict and the state of an Adam over all of it."""
    generator = torch.Generator().manual_seed(0)
    weights = {key: torch.rand(shape, generator=generator) for key, shape in shapes.items()}
    state = {
        number: {
            "step": torch.tensor(float((steps or {}).get(key, 3))),
            "exp_avg": torch.rand(value.shape, generator=generator),
            "exp_avg_sq": torch.rand(value.shape, generator=generator),
        }
        for number, (key, value) in enumerate(weights.items())
    }
    groups = [{"lr": 0.1, "params": list(range(len(weights)))}]
    return {"model": weights, "optimizer": {"state": state, "param_groups": groups}}


def test_each_part_of_a_split_counts_its_own_steps(tmp_path):
    new = migrated(
        tmp_path, adam({"w": (4, 2)}), "rewrites:\n- {from: w, to: [a, b], ops: [split: {dim: 0, parts: 2}]}\n"
    )
    state = new["optimizer"]["state"]
    state[0]["step"] += 1
    assert state[1]["step"] == 3


def test_joined_weights_are_joined_where_they_took_the_same_steps(tmp_path, capsys):
    body = "rewrites:\n- {from: [a, b], to: w, ops: [concat: {dim: 0}]}\n- keep: c\n"
    shapes = {"a": (2, 3), "b": (4, 3), "c": (5,)}
    old = adam(shapes)
    new = migrated(tmp_path, old, body)["optimizer"]
    old_state = old["optimizer"]["state"]
    assert torch.equal(new["state"][0]["exp_avg"], torch.cat([old_state[0]["exp_avg"], old_state[1]["exp_avg"]]))
    assert new["param_groups"][0]["params"] == [0, 1]
    assert torch.equal(new["state"][1]["exp_avg_sq"], old_state[2]["exp_avg_sq"])
    uneven = migrated(tmp_path, adam(shapes, steps={"b": 7}), body)["optimizer"]
    assert list(uneven["state"]) == [1]
    assert "/optimizer: the optimizer's state is reset for w: no law is known for step" in capsys.readouterr().err


def test_moments_of_scaled_weights_scale_the_other_way(tmp_path):
    old = adam({"w": (2, 3)})
    new = migrated(tmp_path, old, "rewrites:\n- {from: w, to: v, ops: [affine: {scale: 4.0}]}\n")["optimizer"]["state"][
        0
    ]
    before = old["optimizer"]["state"][0]
    assert torch.equal(new["exp_avg"], before["exp_avg"] / 4)
    assert torch.equal(new["exp_avg_sq"], before["exp_avg_sq"] / 16)


def test_new_rows_have_no_moments_and_a_cast_leaves_them_as_they_are(tmp_path):
    old = adam({"w": (2, 3)})
    body = "rewrites:\n- {from: w, to: w, ops: [{pad: {dim: 0, after: 2, fill: mean}}, {cast: {dtype: bf16}}]}\n"
    new = migrated(tmp_path, old, body)
    entry, before = new["optimizer"]["state"][0], old["optimizer"]["state"][0]
    assert new["model"]["w"].dtype == torch.bfloat16
    assert torch.equal(entry["exp_avg"], torch.cat([before["exp_avg"], torch.zeros(2, 3)]))


def test_what_is_new_begins_anew_and_what_is_dropped_is_gone(tmp_path):
    old = adam({"a": (2,), "gone": (3,), "b": (4,)})
    body = """
    rewrites:
    - drop: {keys: gone, reason: unused}
    - new: {key: c, shape: [6], dtype: f32, fill: zeros}
    rest: keep
    """
    new = migrated(tmp_path, old, body)["optimizer"]
    assert new["param_groups"][0]["params"] == [0, 1, 2]
    assert list(new["state"]) == [0, 1]
    assert torch.equal(new["state"][1]["exp_avg"], old["optimizer"]["state"][2]["exp_avg"])


def test_what_has_no_law_is_reset_alone_or_refused(tmp_path, capsys):
    old = adam({"a": (2, 4), "b": (4,)})
    body = "rewrites:\n- {from: a, to: a, ops: [reduce: {dim: 0, how: mean}]}\nrest: keep\n"
    new = migrated(tmp_path, old, body)["optimizer"]
    assert list(new["state"]) == [1]
    assert "reset for a: no law is known for exp_avg, exp_avg_sq" in capsys.readouterr().err
    path = tmp_path / "old.pt"
    torch.save(old, path)
    with pytest.raises(PlanError, match="reset for a"):
        migrate(Request(str(path), [str(write_migration(tmp_path, body))], str(tmp_path / "n.pt"), strict_state=True))


def test_numbers_whose_weights_cannot_be_told_are_reset(tmp_path, capsys):
    old = adam({"a": (2,), "b": (2,), "c": (2,)})
    old["optimizer"]["state"] = {0: old["optimizer"]["state"][0]}
    old["optimizer"]["param_groups"][0]["params"] = [0]
    body = "rewrites:\n- {from: a, to: d, ops: [affine: {scale: 2.0}]}\nrest: keep\n"
    assert migrated(tmp_path, old, body)["optimizer"]["state"] == {}
    assert (
        "its 1 parameters go by number, and their shapes fit the weights in several orders" in capsys.readouterr().err
    )


def test_the_optimizer_of_other_weights_is_left_alone(tmp_path):
    one, other = adam({"a": (2, 3)}), adam({"z": (5, 4), "y": (4,)})
    both = {"g": one["model"], "d": other["model"], "opt_g": one["optimizer"], "opt_d": other["optimizer"]}
    new = migrated(tmp_path, both, "rewrites:\n- {from: a, to: b, ops: [rearrange: x y -> y x]}\n", section="/g")
    assert torch.equal(new["opt_d"]["state"][0]["exp_avg"], other["optimizer"]["state"][0]["exp_avg"])
    assert torch.equal(new["opt_g"]["state"][0]["exp_avg"], one["optimizer"]["state"][0]["exp_avg"].T)


GROUPED = "rewrites:\n- {from: a.w, to: c.w, ops: [rearrange: x y -> y x]}\nrest: keep\n"


def grouped(*groups):
    """An Adam whose groups have weights of one shape, so that only the user knows which."""
    old = adam({"a.w": (2, 2), "b.w": (2, 2), "d.w": (2, 2)})
    lists = [{"lr": 0.1, "params": list(group)} for group in groups]
    return old | {"optimizer": {**old["optimizer"], "param_groups": lists}}


def test_groups_that_nothing_tells_apart_are_reset_and_said(tmp_path, capsys):
    new = migrated(tmp_path, grouped([0], [1, 2]), GROUPED)
    assert new["optimizer"]["state"] == {}
    assert "--param-group says which weights each group has" in capsys.readouterr().err


def test_groups_that_somebody_tells(tmp_path, capsys):
    old = grouped([0], [1, 2])
    new = migrated(tmp_path, old, GROUPED, param_groups=("b.*", "**"))["optimizer"]
    before = old["optimizer"]["state"]
    assert [group["params"] for group in new["param_groups"]] == [[0], [1, 2]]
    assert torch.equal(new["state"][0]["exp_avg"], before[0]["exp_avg"])  # that of b.w
    assert torch.equal(new["state"][1]["exp_avg"], before[1]["exp_avg"].T)  # that of a.w
    assert torch.equal(new["state"][2]["exp_avg"], before[2]["exp_avg"])
    assert migrated(tmp_path, old, GROUPED, param_groups=("a.*", "b.*"))["optimizer"]["state"] == {}
    assert "its groups have 1, 2 parameters, and --param-group selects 1, 1" in capsys.readouterr().err


def test_a_negative_scale_leaves_no_length(tmp_path, capsys):
    old = adam({"w": (2, 3)})
    old["optimizer"]["state"][0]["exp_inf"] = torch.ones(2, 3)
    new = migrated(tmp_path, old, "rewrites:\n- {from: w, to: w, ops: [affine: {scale: -2.0}]}\n")
    assert new["optimizer"]["state"] == {}
    assert "no law is known for exp_inf" in capsys.readouterr().err


@pytest.mark.parametrize("names", [("row_var", "col_var", True), ("exp_avg_sq_row", "exp_avg_sq_col", False)])
def test_factored_moments_go_with_a_rename_and_tell_whose_they_are(names, tmp_path, capsys):
    row, column, keeps = names
    shapes = {"a": (2, 5), "b": (3, 5), "c": (4,)}
    old = adam(shapes)
    for number, shape in enumerate(shapes.values()):
        step = old["optimizer"]["state"][number]["step"]
        rows = torch.rand(shape[0], 1) if keeps else torch.rand(shape[0])
        columns = torch.rand(1, shape[-1]) if keeps else torch.rand(shape[-1])
        factored = {row: rows, column: columns} if len(shape) > 1 else {"exp_avg_sq": torch.rand(shape)}
        old["optimizer"]["state"][number] = {"step": step, **factored}
    old["optimizer"]["param_groups"] = [{"params": [1, 0, 2]}]
    body = "rewrites:\n- rename: {a: z}\n- {from: c, to: c, ops: [flip: {dim: 0}]}\nrest: keep\n"
    assert migrated(tmp_path, old, body)["optimizer"]["state"] == {}  # not in the model's order, which the factors show
    assert "in any order that is usual" in capsys.readouterr().err
    old["optimizer"]["param_groups"] = [{"params": [0, 1, 2]}]
    new = migrated(tmp_path, old, body)["optimizer"]["state"]
    before = old["optimizer"]["state"]
    assert torch.equal(new[0][row], before[0][row])
    assert torch.equal(new[2]["exp_avg_sq"], before[2]["exp_avg_sq"].flip(0))


def test_an_optimizer_that_is_reset_still_loads(tmp_path):
    old = adam({"w": (4, 2), "v": (3,)})
    body = "rewrites:\n- {from: w, to: [a, b], ops: [split: {parts: 2}]}\n- keep: v\noptimizer: reset\n"
    new = migrated(tmp_path, old, body)["optimizer"]
    assert new["state"] == {}
    assert new["param_groups"] == [{"lr": 0.1, "params": [0, 1, 2]}]


def test_the_tree_may_edit_the_state_that_is_carried(tmp_path):
    body = """
    rewrites:
    - {from: w, to: [a, b], ops: [split: {parts: 2}]}
    tree:
    - set: {/optimizer/param_groups/0/lr: 0.5, /optimizer/state/0/note: 3}
    - delete: {paths: "/optimizer/state/{n}/exp_avg_sq", reason: test}
    """
    new = migrated(tmp_path, adam({"w": (4, 2)}), body)["optimizer"]
    assert new["param_groups"] == [{"lr": 0.5, "params": [0, 1]}]
    assert [list(new["state"][number]) for number in (0, 1)] == [["step", "exp_avg", "note"]] * 2
