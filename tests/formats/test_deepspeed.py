"""A DeepSpeed run folder is one checkpoint with the fp32 weights that its ranks hold parts of."""

import shutil

import pytest

torch = pytest.importorskip("torch")

from formats.zero_folders import save  # noqa: E402  these need torch
from migrating import migrated_file  # noqa: E402
from same_objects import same_bits  # noqa: E402

from ckptlint.errors import FormatError  # noqa: E402
from ckptlint.formats import open_checkpoint  # noqa: E402

KEEP = "rewrites: []\nrest: keep\n"


def weights(*shapes):
    torch.manual_seed(0)
    return {f"layer.{number}.weight": torch.randn(shape) for number, shape in enumerate(shapes)}


GROUPS = [weights((3, 5), (7,), ()), {f"norm.{k}": v for k, v in weights((11,), (2, 2, 3)).items()}]
TRAINED = {name: tensor for group in GROUPS for name, tensor in group.items()}
BUFFERS = {
    "inv_freq": torch.rand(5).half(),
    "scale": torch.rand(3),
    "counted": torch.tensor(3),
    "b": torch.rand(2).bfloat16(),
}
FROZEN = {"frozen.weight": torch.randn(5, 3).bfloat16(), "frozen.bias": torch.randn(3)}


@pytest.mark.parametrize("ranks", [1, 2, 3, 8, 11])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_weights_are_those_that_were_spread_over_the_ranks(tmp_path, stage, ranks):
    shared = {"tied.weight": "layer.0.weight"}
    save(
        tmp_path / "run",
        GROUPS,
        stage=stage,
        ranks=ranks,
        buffers=BUFFERS,
        frozen=FROZEN,
        shared=shared,
        bf16=ranks == 2,
    )
    written = torch.load(migrated_file(tmp_path, tmp_path / "run", KEEP))
    floats = {k: v.float() if v.dtype in (torch.half, torch.bfloat16) else v for k, v in BUFFERS.items()}
    want = {**floats, **FROZEN, **TRAINED, "tied.weight": TRAINED["layer.0.weight"]}
    assert list(written["module"]) == list(want)
    assert [key for key in want if not same_bits(written["module"][key], want[key])] == []
    assert written["module"]["tied.weight"].data_ptr() == written["module"]["layer.0.weight"].data_ptr()
    assert {key: value for key, value in written.items() if key != "module"} == {
        "global_steps": 7,
        "ds_version": "0.15.0",
    }


@pytest.mark.parametrize("stage", [2, 3])
def test_they_are_what_deepspeed_makes_of_them(tmp_path, stage):
    script = pytest.importorskip("deepspeed.utils.zero_to_fp32", reason="deepspeed is not installed")
    save(tmp_path / "run", GROUPS, stage=stage, ranks=3, buffers=BUFFERS, frozen=FROZEN, shared={"t": "layer.0.weight"})
    want = script.get_fp32_state_dict_from_zero_checkpoint(str(tmp_path / "run"))
    written = torch.load(migrated_file(tmp_path, tmp_path / "run", KEEP))["module"]
    assert list(written) == list(want)
    assert [key for key in want if not torch.equal(written[key].to(want[key].dtype), want[key])] == []


def test_the_folder_of_a_step_is_read_as_well(tmp_path):
    step = save(tmp_path / "run", GROUPS, stage=2, ranks=2)
    checkpoint = open_checkpoint(step)
    assert [section.path for section in checkpoint.sections] == ["/module"]
    assert list(checkpoint.sections[0].tensors) == list(TRAINED)
    checkpoint.close()


def test_headers_alone_are_read(tmp_path):
    big = {"w": torch.zeros(1000, 1000)}
    save(tmp_path / "run", [big], stage=3, ranks=2)
    import os

    before = os.listdir("/dev/fd")
    checkpoint = open_checkpoint(tmp_path / "run")
    assert checkpoint.sections[0].tensors["w"].shape == (1000, 1000)
    assert checkpoint.read(checkpoint.sections[0].tensors["w"].storage, 4_000_000 - 4, 4) == bytes(4)
    checkpoint.close()
    assert len(os.listdir("/dev/fd")) == len(before)


def test_stage_0_is_the_model_states_themselves(tmp_path):
    step = save(tmp_path / "run", GROUPS, stage=2, ranks=1)
    next(step.glob("*_optim_states.pt")).unlink()
    checkpoint = open_checkpoint(tmp_path / "run")
    assert {str(t.dtype) for t in checkpoint.sections[0].tensors.values()} == {"bf16"}
    checkpoint.close()


def test_a_flipped_bit_in_a_partition_is_found(tmp_path):
    step = save(tmp_path / "run", [{"w": torch.full((600,), 1.5)}], stage=2, ranks=2)
    path = step / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    content = path.read_bytes()
    at = content.index(torch.full((300,), 1.5).numpy().tobytes()) + 77
    path.write_bytes(content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :])
    with pytest.raises(FormatError, match="data of w is damaged"):
        migrated_file(tmp_path, tmp_path / "run", KEEP.replace("rewrites: []", "rewrites: [{keep: w}]"))


def tag(text):
    return lambda run, step: (run / "latest").write_text(text)


def lose(name):
    return lambda run, step: (step / name).unlink()


def link_out(run, step):
    step.rename(run.parent / "elsewhere")
    step.symlink_to(run.parent / "elsewhere")


def another_run(run, step):
    shutil.copy(step / "zero_pp_rank_1_mp_rank_00_optim_states.pt", step / "zero_pp_rank_3_mp_rank_00_optim_states.pt")


def experts(run, step):
    (step / "layer_0_expert_1_mp_rank_00_model_states.pt").write_bytes(b"x")


def parallel(run, step):
    for name in ("mp_rank_01_model_states.pt", "zero_pp_rank_0_mp_rank_01_optim_states.pt"):
        shutil.copy(step / "mp_rank_00_model_states.pt", step / name)


def universal(run, step):
    (step / "zero" / "layer.0.weight").mkdir(parents=True)


def other_stage(run, step):
    path = step / "zero_pp_rank_2_mp_rank_00_optim_states.pt"
    state = torch.load(path)
    state["optimizer_state_dict"]["zero_stage"] = 1
    torch.save(state, path)


def short(run, step):
    path = step / "zero_pp_rank_2_mp_rank_00_optim_states.pt"
    state = torch.load(path)
    state["optimizer_state_dict"]["single_partition_of_fp32_groups"][0] = torch.zeros(1)
    torch.save(state, path)


FAULTS = {
    "names the folder '../x', which is not a folder below": tag("../x"),
    "names the folder '/etc', which is not": tag("/etc"),
    r"names the folder '..\\\\x'": tag("..\\x"),
    "the folder 'gone' is missing": tag("gone"),
    "is no text": lambda run, step: (run / "latest").write_bytes(b"\xff"),
    "symbolic link to .* outside": link_out,
    "saved by 3 ranks, and has the optimizer states of 2; rank 1 is missing": lose(
        "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    ),
    "saved by 3 ranks, and has the optimizer states of 4": another_run,
    "without its \\*_model_states.pt": lose("mp_rank_00_model_states.pt"),
    "mixture of experts": experts,
    "split in 2 parallel parts": parallel,
    "is a universal DeepSpeed checkpoint": universal,
    "is of ZeRO stage 1 with 3 ranks": other_stage,
    r"group 0 has 17 elements of fp32 weights; its parameters take 23": short,
}


@pytest.mark.parametrize("message", FAULTS)
def test_what_does_not_fit_together_is_refused_by_name(tmp_path, message):
    run = tmp_path / "run"
    FAULTS[message](run, save(run, GROUPS, stage=2, ranks=3))
    with pytest.raises(FormatError, match=message) as caught:
        open_checkpoint(run)
    assert caught.value.hint
    assert caught.value.where.startswith(str(tmp_path))


def test_stage_3_without_the_files_that_hold_the_weights_is_refused(tmp_path):
    step = save(tmp_path / "run", GROUPS, stage=3, ranks=2)
    for path in step.glob("*_optim_states.pt"):
        path.unlink()
    with pytest.raises(FormatError, match="in which the weights are"):
        open_checkpoint(tmp_path / "run")


def test_a_rank_of_stage_3_that_is_too_short_is_refused(tmp_path):
    step = save(tmp_path / "run", GROUPS, stage=3, ranks=2)
    path = step / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    state = torch.load(path)
    state["optimizer_state_dict"]["fp32_flat_groups"].pop()
    torch.save(state, path)
    with pytest.raises(FormatError, match=r"has \d+ elements of fp32 weights; its part of the parameters is \d+"):
        open_checkpoint(tmp_path / "run")
