"""A run of four ranks over gloo that saves its state in every way torch has: `python distributed_run.py FOLDER`.

`truth.pt` is the full state dict of the first of them, as torch gathers it. The sizes are uneven on purpose.
"""

import os
import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import FileSystemWriter, HuggingFaceStorageWriter
from torch.distributed.checkpoint.filesystem import SerializationFormat
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, get_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, StateDictType, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

RANKS = 4
WHOLE = StateDictOptions(full_state_dict=True)


def net():
    torch.manual_seed(0)
    linear = torch.nn.Linear
    return torch.nn.Sequential(
        torch.nn.Embedding(11, 6), linear(6, 7), torch.nn.LayerNorm(7), linear(7, 5), linear(5, 1)
    )


def trained(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    model(torch.arange(4)).sum().backward()
    optimizer.step()
    return model, optimizer


def sharded(mesh):
    model = net()
    for layer in model:
        fully_shard(layer, mesh=mesh)
    return trained(fully_shard(model, mesh=mesh))


class Run:
    def __init__(self, folder):
        self.folder = folder
        self.rank = dist.get_rank()

    def ranks(self, name, state):
        (self.folder / name).mkdir(exist_ok=True)
        torch.save(state, self.folder / name / f"model_rank_{self.rank}.pt")

    def save(self, name, model, optimizer):
        weights, state = get_state_dict(model, optimizer)
        dcp.save({"model": weights, "optimizer": state}, checkpoint_id=self.folder / name)
        self.ranks(f"{name}_ranks", {"model": weights, "optimizer": state})
        return weights, state

    def all(self):
        rows = init_device_mesh("cpu", (RANKS,))
        model, optimizer = sharded(rows)
        weights, state = self.save("fsdp2", model, optimizer)
        whole, moments = get_state_dict(model, optimizer, options=WHOLE)
        if self.rank == 0:
            torch.save({"model": whole, "optimizer": moments}, self.folder / "truth.pt")
        dcp.save({"model": weights, "optimizer": state}, checkpoint_id=self.folder / "apart", use_collectives=False)
        table = FileSystemWriter(self.folder / "tables", serialization_format=SerializationFormat.SAFETENSORS)
        dcp.save({"model": weights}, storage_writer=table)
        dcp.save(weights, storage_writer=HuggingFaceStorageWriter(str(self.folder / "parts"), save_distributed=True))
        self.save("hsdp", *sharded(init_device_mesh("cpu", (2, 2), mesh_dim_names=("copies", "shards"))))
        self.two_ways()
        self.first_generation()

    def two_ways(self):
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
        model = net()
        parallelize_module(model, mesh["tensor"], {"1": ColwiseParallel(), "3": RowwiseParallel()})
        for layer in model:
            fully_shard(layer, mesh=mesh["data"])
        weights = get_model_state_dict(fully_shard(model, mesh=mesh["data"]))
        dcp.save({"model": weights}, checkpoint_id=self.folder / "tensor")
        self.ranks("tensor_ranks", {"model": weights})

    def first_generation(self):
        policy = ModuleWrapPolicy({torch.nn.Linear})
        for name, original in (("fsdp1", True), ("fsdp1_flat", False)):
            wrapped = FullyShardedDataParallel(
                net(), auto_wrap_policy=policy, use_orig_params=original, device_id=torch.device("cpu")
            )
            model, optimizer = trained(wrapped)
            FullyShardedDataParallel.set_state_dict_type(model, StateDictType.SHARDED_STATE_DICT)
            weights = model.state_dict()
            state = FullyShardedDataParallel.optim_state_dict(model, optimizer)
            dcp.save({"model": weights, "optimizer": state}, checkpoint_id=self.folder / name)
            self.ranks(f"{name}_ranks", {"model": weights, "optimizer": state})


def run(folder, rank):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS)
    Run(folder).all()
    dist.barrier()
    dist.destroy_process_group()


def main():
    folder = Path(sys.argv[1])
    children = []
    for rank in range(RANKS):
        child = os.fork()  # torch is imported once
        if not child:
            run(folder, rank)
            os._exit(0)
        children.append(child)
    failed = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(any(failed))


if __name__ == "__main__":
    main()
