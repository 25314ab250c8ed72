"""Every copy of the weights goes along, in the containers that training loops save; what is none stays and is named."""

import argparse

import pytest

torch = pytest.importorskip("torch")

from migrating import migrated, migrated_file, write_migration  # noqa: E402  needs torch

from ckptlint.commands.migrate import Request, migrate  # noqa: E402

BODY = "rewrites:\n- rename: {'{p:path}.weight': '{p}.w'}\nrest: keep\noptimizer: leave\n"
SHAPES = {"enc.0.weight": (4, 4), "enc.0.bias": (4,), "head.weight": (2, 4)}


def weights(prefix="", value=1.0):
    return {prefix + key: torch.full(shape, value) for key, shape in SHAPES.items()}


def optimizer():
    state = {n: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(4)} for n in range(3)}
    return {"state": state, "param_groups": [{"lr": 0.1, "params": [0, 1, 2]}]}


HABITS = {
    "lightning": (
        {
            "state_dict": weights("model."),
            "callbacks": {"EMA": {"ema": torch.ones(2)}, "Averaging": {"average_model_state": weights("model.", 2.0)}},
            "optimizer_states": [optimizer()],
            "loops": {"fit_loop": {"state_dict": {}}},
            "hyper_parameters": {"width": 4},
        },
        ["state_dict", "callbacks.Averaging.average_model_state"],
    ),
    "timm": (
        {"arch": "x", "state_dict": weights(), "state_dict_ema": weights(), "args": argparse.Namespace(lr=1), "amp_scaler": {"scale": 1.0}},
        ["state_dict", "state_dict_ema"],
    ),
    "detectron2": ({"model": weights(), "iteration": 3, "ema_state": weights(), "optimizer": optimizer()}, ["model", "ema_state"]),
    "mmcv": (
        {"meta": {"CLASSES": ("a",)}, "state_dict": weights(), "ema_state_dict": weights("module.")},
        ["state_dict", "ema_state_dict"],
    ),
    "ultralytics": ({"model": weights(), "ema": weights(), "updates": 5, "train_args": {}}, ["model", "ema"]),
    "fairseq": (
        {"cfg": {"model": {}}, "model": weights(), "criterion": {"w": torch.ones(2)}, "extra_state": {"ema": weights(), "ema_fp32_params": weights()}},
        ["model", "extra_state.ema", "extra_state.ema_fp32_params"],
    ),
    "averaged": ({"model": weights(), "swa_model": {"n_averaged": torch.tensor(3), **weights("module.")}}, ["model", "swa_model"]),
    "teacher": (
        {"student": weights("module."), "teacher": weights("backbone."), "loss": {"center": torch.zeros(1, 4)}},
        ["student", "teacher"],
    ),
    "generator": ({"g": weights(), "d": {"conv": torch.ones(3)}, "g_ema": weights(), "latent_avg": torch.ones(4)}, ["g", "g_ema"]),
    "several": ({"models": [weights(), weights()], "optimizers": [optimizer(), optimizer()]}, ["models.0", "models.1"]),
    "none yet": ({"model_state_dict": weights(), "best_model_state_dict": None}, ["model_state_dict"]),
}  # fmt: skip


def places(value, path=""):
    """Every state dict whose keys were renamed."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, dict) and any(isinstance(key, str) and key.endswith(".w") for key in value):
        yield path
    for key, child in inner:
        yield from places(child, f"{path}.{key}" if path else str(key))


@pytest.mark.parametrize("habit", HABITS)
def test_every_copy_of_the_weights_goes_along(habit, tmp_path):
    value, expected = HABITS[habit]
    assert sorted(places(migrated(tmp_path, value, BODY))) == sorted(expected)


@pytest.mark.parametrize("spell", ["_", ""])
def test_averages_may_spell_keys_in_a_way_of_their_own(spell, tmp_path):
    average = {key.replace(".", spell): value for key, value in weights(value=2.0).items()}
    value = {"model": weights(), "ema": {**average, "decay": torch.tensor(0.9), "num_updates": torch.tensor(3)}}
    torch.save(value, tmp_path / "old.pt")
    split = (
        BODY
        + "stages:\n- rewrites:\n  - {from: enc.0.w, to: [a.q, a.k], ops: [split: {dim: 0, sizes: [1, 3]}]}\n  rest: keep\n"
    )
    output = migrated_file(tmp_path, tmp_path / "old.pt", split)
    ema = torch.load(output)["ema"]
    assert [key.replace(".", spell) for key in ("a.q", "a.k", "enc.0.bias", "head.w")] == list(ema)[:4]
    assert list(ema)[4:] == ["decay", "num_updates"]
    assert [ema[f"a{spell}q"].tolist(), ema["num_updates"].item()] == [[[2.0] * 4], 3]
    back = tmp_path / "back.pt"
    migrate(Request(str(output), [str(write_migration(tmp_path, split))], str(back), reverse=True))
    result = torch.load(back)
    assert all(list(result[place]) == list(value[place]) for place in value)
    assert all(torch.equal(result[place][key], value[place][key]) for place in value for key in value[place])


@pytest.mark.parametrize("prefix", ["module.", "module._orig_mod.", "ema_model.module."])
def test_averages_of_a_wrapped_model_stay_wrapped(prefix, tmp_path):
    average = {f"{prefix}{key}": value for key, value in weights(value=2.0).items()}
    value = {"model": weights(), "ema": {"n_averaged": torch.tensor(7), **average}}
    torch.save(value, tmp_path / "old.pt")
    output = migrated_file(tmp_path, tmp_path / "old.pt", BODY)
    new = torch.load(output)
    assert [f"{prefix}{key}" for key in new["model"]] == [key for key in new["ema"] if key != "n_averaged"]
    assert new["ema"]["n_averaged"] == 7
    back = tmp_path / "back.pt"
    migrate(Request(str(output), [str(write_migration(tmp_path, BODY))], str(back), reverse=True))
    result = torch.load(back)
    assert all(torch.equal(result["ema"][key], value["ema"][key]) for key in value["ema"])
    assert result["ema"].keys() == value["ema"].keys()
    alone = {"model": weights(), "ema": average}
    stripped = migrated(tmp_path, alone, f"prefix: {{strip: [{prefix}]}}\nrest: keep\n")
    assert list(stripped["ema"]) == list(value["model"])


def test_what_is_no_copy_stays_and_is_named(tmp_path, capsys):
    migrated(tmp_path, HABITS["lightning"][0], BODY)
    assert "/callbacks/EMA stays as it is" in capsys.readouterr().err


def test_a_copy_that_goes_by_position_is_named_where_positions_change(tmp_path, capsys):
    value = {
        "model": weights(),
        "ema": {"decay": 0.9, "shadow_params": list(weights().values())},
        "rows": [torch.ones(1)] * 3,
    }
    migrated(tmp_path, value, BODY)
    assert "by position" not in capsys.readouterr().err
    migrated(tmp_path, value, BODY + "stages: [{rewrites: [{drop: {keys: head.w, reason: gone}}], rest: keep}]\n")
    said = [line for line in capsys.readouterr().err.splitlines() if "by position" in line]
    assert said == [
        "warning: /ema/shadow_params is a list of tensors that fits the weights by position, and stays as it is"
    ]
