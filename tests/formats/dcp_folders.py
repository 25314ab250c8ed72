"""Distributed checkpoints for tests: written by torch itself, in one process, with the chunks that many ranks would write."""

import io
import pickle
import warnings

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import DefaultSavePlanner, FileSystemWriter
from torch.distributed.checkpoint.default_planner import create_default_local_save_plan
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex, TensorProperties
from torch.distributed.checkpoint.planner import SavePlan, TensorWriteData, WriteItem, WriteItemType


class Chunked(DefaultSavePlanner):
    """Saves some tensors in given boxes, `{key: [(offsets, sizes), ...]}`, as sharded ranks would."""

    def __init__(self, boxes, **options):
        super().__init__(**options)
        self.boxes = boxes

    def create_local_plan(self):
        whole = {key: value for key, value in self.state_dict.items() if key not in self.boxes}
        plan = create_default_local_save_plan(whole, is_coordinator=True)
        items = [_item(key, self.state_dict[key], box) for key, boxes in self.boxes.items() for box in boxes]
        self.plan = SavePlan([*plan.items, *items], planner_data=self.mappings)
        return self.plan

    def resolve_data(self, item):
        if item.index.fqn not in self.boxes:
            return super().resolve_data(item)
        chunk = item.tensor_data.chunk
        box = tuple(slice(o, o + s) for o, s in zip(chunk.offsets, chunk.sizes, strict=True))
        return self.state_dict[item.index.fqn][box].clone()


def _item(key, tensor, box):
    chunk = ChunkStorageMetadata(torch.Size(box[0]), torch.Size(box[1]))
    data = TensorWriteData(chunk, TensorProperties.create_from_tensor(tensor), tensor.size())
    return WriteItem(MetadataIndex(key, chunk.offsets), WriteItemType.SHARD, tensor_data=data)


def save(folder, state, boxes=None, **options):
    """Save in one process; `boxes` cuts tensors, by their flattened key."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that one process is one process
        dcp.save(
            state,
            storage_writer=FileSystemWriter(folder, single_file_per_rank=False, thread_count=3, **options),
            planner=Chunked(boxes or {}),
            no_dist=True,
        )
    return folder


def loaded(folder):
    """What torch makes of a folder without being told what is in it: `dcp_to_torch_save`, kept in memory."""
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = io.BytesIO()
        dcp_to_torch_save(folder, content)
    content.seek(0)
    return torch.load(content, weights_only=False)


def edited(folder, change):
    """Change the metadata of a folder, in place, with torch's own classes."""
    path = folder / ".metadata"
    metadata = pickle.loads(path.read_bytes())
    change(metadata)
    path.write_bytes(pickle.dumps(metadata))
    return folder
