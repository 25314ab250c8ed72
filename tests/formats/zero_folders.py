"""DeepSpeed run folders for tests, made to the specification that is deepspeed/utils/zero_to_fp32.py: no rank, no GPU, only the files."""

from collections import OrderedDict

import torch


def _padded(flat, unit):
    missing = -len(flat) % unit
    return torch.cat([flat, torch.zeros(missing, dtype=flat.dtype)])


def save(folder, groups, *, stage, ranks, buffers=None, frozen=None, shared=None, bf16=False, **client):
    """Save `groups`, a list of {name: fp32 tensor}, as `ranks` ranks of a ZeRO `stage` would; return the folder of the step."""
    step = folder / "global_step7"
    step.mkdir(parents=True)
    (folder / "latest").write_text("global_step7\n")
    buffers, frozen = buffers or {}, frozen or {}
    shapes = [OrderedDict((name, tensor.shape) for name, tensor in group.items()) for group in groups]
    trained = {name: tensor for group in groups for name, tensor in group.items()}
    half = {name: tensor.to(torch.bfloat16) for name, tensor in trained.items()}
    for rank in range(ranks):
        fragments = {name: _fragment(tensor, rank, ranks) if stage == 3 else tensor for name, tensor in frozen.items()}
        states = {
            "module": OrderedDict({**half, **frozen, **buffers}) if stage < 3 else OrderedDict(buffers),
            "buffer_names": list(buffers),
            "optimizer": None,
            "param_shapes": shapes,
            "frozen_param_shapes": {name: tensor.shape for name, tensor in frozen.items()} or None,
            "frozen_param_fragments": fragments or None,
            "shared_params": shared or {},
            "ds_version": "0.15.0",
            "global_steps": 7,
            **client,
        }
        if stage == 3:
            torch.save(states, step / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt")
        elif rank == 0:
            torch.save(states, step / "mp_rank_00_model_states.pt")
        name = f"{'bf16_' if bf16 else ''}zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"
        torch.save(
            {"optimizer_state_dict": _partition(groups, stage, rank, ranks), "ds_version": "0.15.0"}, step / name
        )
    return step


def _fragment(tensor, rank, ranks):
    return _padded(tensor.flatten(), ranks).chunk(ranks)[rank].clone()


def _partition(groups, stage, rank, ranks):
    if stage == 3:  # two flat groups a rank, cut where no parameter ends
        row = torch.cat([_fragment(tensor, rank, ranks) for group in groups for tensor in group.values()])
        middle = len(row) // 2 + 1
        return {
            "zero_stage": 3,
            "partition_count": ranks,
            "fp32_flat_groups": [row[:middle].clone(), row[middle:].clone()],
        }
    flat = [_padded(torch.cat([tensor.flatten() for tensor in group.values()]), 2 * ranks) for group in groups]
    return {
        "zero_stage": stage,
        "partition_count": [ranks] * len(groups),
        "single_partition_of_fp32_groups": [group.chunk(ranks)[rank].clone() for group in flat],
        "base_optimizer_state": {"state": {0: {"exp_avg": flat[0].chunk(ranks)[rank].clone()}}, "param_groups": []},
    }
