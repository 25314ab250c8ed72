"""Files as torch wrote them before 0.1.10, made to the format's description: no torch that writes them runs here."""

import io
import pickle
import struct
import tarfile

import torch


class _Pickler(pickle.Pickler):
    """Keeps tensors outside, under a number, and classes of modules with their source."""

    def __init__(self, file, tensors):
        super().__init__(file, 2)
        self.tensors = tensors

    def persistent_id(self, value):
        if isinstance(value, torch.Tensor):
            self.tensors[id(value)] = value
            return id(value)
        if isinstance(value, type) and issubclass(value, torch.nn.Module):
            return (value, None, None)
        return None


def saved(value, *, views=(), names=("sys_info", "pickle", "tensors", "storages"), **changed):
    """A tar of the value. `views` are (key, tensor, first, numel): storages that are parts of the tensor's; `changed` members lie."""
    tensors = {}
    body = io.BytesIO()
    _Pickler(body, tensors).dump(value)
    parts = {
        "sys_info": pickle.dumps({"protocol_version": 1000, "little_endian": True}, 2),
        "pickle": body.getvalue(),
        "tensors": _tensors(tensors.values(), views),
        "storages": _storages(tensors.values(), views),
    }
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            content = changed.get(name, parts.get(name, b""))
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def _root(tensor):
    return tensor.untyped_storage().data_ptr() or id(tensor) + 1


def _storages(tensors, views):
    roots = {_root(tensor): tensor for tensor in tensors}
    made = [pickle.dumps(len(roots), 2)]
    for key, tensor in roots.items():
        storage = tensor.untyped_storage()
        made.append(pickle.dumps((key, "cpu", getattr(torch, tensor.storage()._pickle_storage_type())), 2))
        made.append(struct.pack("<q", storage.nbytes() // tensor.element_size()))
        made.append(torch.empty(0, dtype=torch.uint8).set_(storage).numpy().tobytes())
    made.append(pickle.dumps([(key, _root(tensor), first, numel) for key, tensor, first, numel in views], 2))
    return b"".join(made)


def _tensors(tensors, views):
    through = {_root(tensor): (key, first) for key, tensor, first, _ in views}
    made = [pickle.dumps(len(tensors), 2)]
    for tensor in tensors:
        key, first = through.get(_root(tensor), (_root(tensor), 0))
        made.append(pickle.dumps((id(tensor), key, torch.FloatTensor), 2))
        made.append(struct.pack("<i", tensor.dim()) + bytes(4))
        made.append(struct.pack(f"<{tensor.dim()}q", *tensor.shape))
        made.append(struct.pack(f"<{tensor.dim()}q", *tensor.stride()))
        made.append(struct.pack("<q", tensor.storage_offset() - first))
    return b"".join(made)
