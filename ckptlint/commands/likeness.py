"""Which tensors of two checkpoints hold the same values, or nearly so, and what kind of thing their values say that they are.

Values that were trained a little further still go up and down together; those of two other layers do not. First the beginnings of all
tensors of a shape are compared, then, for what these do not decide, whole tensors: those that are the same bit for bit and alone in it,
and elements from all over. What is constant (a fresh norm, a zero bias) says only what it is: about one, or about nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from ckptlint.core.checkpoint import Checkpoint, Section
from ckptlint.core.tree import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Sample = NDArray[np.float64]

_ELEMENTS: Final = 1024
_SPREAD: Final = 4096  # elements from all over a tensor
_FEWEST: Final = 16  # elements by which tensors that are not equal are compared
_ALIKE: Final = 0.7  # correlation
_MARGIN: Final = 0.3  # to the next best
_MOST: Final = 4000  # tensors of one shape that are compared each with each
_ABOUT: Final = 0.35  # how far a mean may be from 0 or 1, and how far elements from the mean
_FLOATS: Final = {"f16": "<f2", "f32": "<f4", "f64": "<f8", "bf16": "<u2"}

Side = tuple[Checkpoint, Section]
Shape = tuple[int, ...]


def twins(old: Side, new: Side) -> dict[str, str]:
    """Pairs of keys whose tensors are the same by their values, each the other's best by far."""
    mine, theirs = _by_shape(old), _by_shape(new)
    shapes = mine.keys() & theirs.keys()
    found = dict(pair for shape in shapes for pair in _paired(_begun(old, mine[shape]), _begun(new, theirs[shape])))
    taken = set(found.values())
    for shape in shapes:
        left = [key for key in mine[shape] if key not in found]
        open_new = [key for key in theirs[shape] if key not in taken]
        if left and open_new:
            found |= _wholly(old, left, new, open_new)
    return found


def natures(side: Side) -> dict[str, int]:
    """Vectors that are all about 1 (the weight of a norm), or all about 0 (a bias), as 1 and 0; what is neither is left out."""
    checkpoint, section = side
    found: dict[str, int] = {}
    for key, tensor in section.tensors.items():
        if isinstance(tensor, Tensor) and len(tensor.spec.shape) == 1 and tensor.spec.numel:
            values = _values(checkpoint, tensor)
            if values is not None and float(values.std()) < _ABOUT:
                mean = float(values.mean())
                about = round(mean)
                if about in (0, 1) and abs(mean - about) < _ABOUT:
                    found[key] = about
    return found


def _by_shape(side: Side) -> dict[Shape, list[str]]:
    found: dict[Shape, list[str]] = {}
    for key, tensor in side[1].tensors.items():
        if isinstance(tensor, Tensor):
            found.setdefault(tensor.spec.shape, []).append(key)
    return found


def _begun(side: Side, keys: Iterable[str]) -> dict[str, Sample]:
    """The beginnings of tensors, for comparing; without those that are constant there."""
    known = ((key, _values(side[0], _tensor(side, key))) for key in keys)
    return {key: sample for key, values in known if values is not None and (sample := _moved(values)) is not None}


def _tensor(side: Side, key: str) -> Tensor:
    tensor = side[1].tensors[key]
    if not isinstance(tensor, Tensor):
        raise TypeError(key)  # `_by_shape` left others out
    return tensor


def _wholly(old: Side, old_keys: list[str], new: Side, new_keys: list[str]) -> dict[str, str]:
    """Compare whole tensors: by their bytes, then by elements from all over."""
    mine, theirs = (
        {key: _whole(side[0], _tensor(side, key)) for key in keys} for side, keys in ((old, old_keys), (new, new_keys))
    )
    same = _alone({key: digest for key, (digest, _) in mine.items()})
    other = _alone({key: digest for key, (digest, _) in theirs.items()})
    found = {same[digest]: other[digest] for digest in same.keys() & other.keys()}
    taken = set(found.values())
    left = {key: sample for key, (_, sample) in mine.items() if sample is not None and key not in found}
    open_new = {key: sample for key, (_, sample) in theirs.items() if sample is not None and key not in taken}
    return found | dict(_paired(left, open_new))


def _alone(digests: Mapping[str, bytes]) -> dict[bytes, str]:
    """The key of each digest that only one has."""
    counts: dict[bytes, int] = {}
    for digest in digests.values():
        counts[digest] = counts.get(digest, 0) + 1
    return {digest: key for key, digest in digests.items() if counts[digest] == 1}


def _whole(checkpoint: Checkpoint, tensor: Tensor) -> tuple[bytes, Sample | None]:
    """The digest of a tensor, and a sample from all over it."""
    import numpy as np

    from ckptlint.formats.tensor_bytes import tensor_blocks

    digest = sha256(tensor.spec.dtype.name.encode())
    code = _FLOATS.get(tensor.spec.dtype.name)
    size = np.dtype(code).itemsize if code else 1
    stride = max(1, tensor.spec.numel // _SPREAD)
    taken: list[bytes] = []
    start = 0  # elements before this block
    for block in tensor_blocks(checkpoint, tensor):
        digest.update(block)
        if code is not None and len(block) % size == 0:
            elements = np.frombuffer(bytes(block), code)
            taken.append(elements[-start % stride :: stride].tobytes())
            start += len(elements)
    if code is None or tensor.spec.numel < _FEWEST:
        return digest.digest(), None
    return digest.digest(), _moved(_floats(b"".join(taken), code))


def _values(checkpoint: Checkpoint, tensor: Tensor) -> Sample | None:
    """The first elements; None for what is no float."""
    import numpy as np

    from ckptlint.formats.tensor_bytes import tensor_blocks

    code = _FLOATS.get(tensor.spec.dtype.name)
    if code is None:
        return None
    size = np.dtype(code).itemsize * min(_ELEMENTS, tensor.spec.numel)
    start = bytearray()
    for block in tensor_blocks(checkpoint, tensor):
        start += block[: size - len(start)]
        if len(start) >= size:
            break
    return _floats(bytes(start), code)


def _floats(data: bytes, code: str) -> Sample:
    import numpy as np

    values = np.frombuffer(data, code)
    if code == "<u2":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float64)


def _moved(values: Sample) -> Sample | None:
    """The elements without their mean, of length 1; None where there are few, or all are one."""
    import numpy as np

    if values.size < _FEWEST:
        return None
    moved = values - values.mean()
    length = float(np.linalg.norm(moved))
    return moved / length if np.isfinite(length) and length > 0 else None


def _paired(old: Mapping[str, Sample], new: Mapping[str, Sample]) -> Iterator[tuple[str, str]]:
    import numpy as np

    mine, theirs = list(old), list(new)
    if not mine or not theirs or max(len(mine), len(theirs)) > _MOST:
        return
    likeness = np.stack(list(old.values())) @ np.stack(list(new.values())).T
    best = likeness.argmax(axis=1)
    for number, key in enumerate(mine):
        place = int(best[number])
        rivals = np.concatenate([np.delete(likeness[number], place), np.delete(likeness[:, place], number)])
        next_best = float(rivals.max()) if rivals.size else -1.0
        score = float(likeness[number, place])
        if score >= _ALIKE and score - next_best >= _MARGIN:
            yield key, theirs[place]
