"""A DTensor is a tensor of its global shape, with this rank's part in it; torch itself writes and loads it under a process group that is faked."""

import io

import pytest
from formats.sources import Counted

from ckptlint.core.tree import Composite
from ckptlint.engine.find_sections import find_sections
from ckptlint.formats import torch_zip
from ckptlint.formats.tensor_bytes import tensor_blocks

torch = pytest.importorskip("torch")
dist = pytest.importorskip("torch.distributed")
pytest.importorskip("torch.distributed.tensor")
fake = pytest.importorskip("torch.testing._internal.distributed.fake_pg")


@pytest.fixture(scope="module")
def content():
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    dist.init_process_group("fake", store=fake.FakeStore(), rank=0, world_size=2)
    try:
        mesh = init_device_mesh("cpu", (2,))
        whole = torch.arange(24.0).reshape(4, 6)
        state = {
            "sharded": distribute_tensor(whole, mesh, [Shard(0)], src_data_rank=None),
            "replicated": torch.nn.Parameter(distribute_tensor(whole, mesh, [Replicate()], src_data_rank=None)),
            "plain": whole,
        }
        file = io.BytesIO()
        torch.save(state, file)
        loaded = torch.load(io.BytesIO(file.getvalue()), weights_only=False)
        assert [tuple(tensor.shape) for tensor in loaded.values()] == [(4, 6)] * 3
        local = loaded["sharded"].to_local()
    finally:
        dist.destroy_process_group()
    return file.getvalue(), local


@pytest.mark.filterwarnings("ignore")
def test_a_sharded_tensor_has_its_global_shape_and_its_local_part(content):
    written, local = content
    checkpoint = torch_zip.read(Counted(written))
    (section,) = find_sections(checkpoint.root)
    assert list(section.tensors) == ["sharded", "replicated", "plain"]
    assert {str(tensor.spec) for tensor in section.tensors.values()} == {"f32[4,6]"}
    found = section.tensors["sharded"]
    assert isinstance(found, Composite)
    assert found.layout.endswith("DTensor")
    part = dict(found.parts)["_local_tensor"]
    assert part.shape == tuple(local.shape) == (2, 6)
    assert b"".join(tensor_blocks(checkpoint, part)) == local.contiguous().numpy().tobytes()
    assert dict(section.tensors["replicated"].parts)["_local_tensor"].shape == (4, 6)
    assert section.tensors["replicated"].requires_grad
