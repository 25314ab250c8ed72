"""Which tensors of two checkpoints hold the same values, or nearly so: the beginnings of all tensors of a shape, compared with each other.

Values that were trained a little further still go up and down together; those of two other layers do not. Only the first block of
each tensor is read. What is constant (a fresh norm, a zero bias), or has few elements, says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ckptlint.core.checkpoint import Checkpoint, Section
from ckptlint.core.tree import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Sample = NDArray[np.float64]

_ELEMENTS: Final = 1024
_FEWEST: Final = 16  # elements by which tensors that are not equal are compared
_ALIKE: Final = 0.7  # correlation
_MARGIN: Final = 0.3  # to the next best
_MOST: Final = 4000  # tensors of one shape that are compared each with each
_FLOATS: Final = {"f16": "<f2", "f32": "<f4", "f64": "<f8", "bf16": "<u2"}


def twins(old: tuple[Checkpoint, Section], new: tuple[Checkpoint, Section]) -> dict[str, str]:
    """Pairs of keys whose tensors are the same by their values, each the other's best by far."""
    mine, theirs = _by_shape(*old), _by_shape(*new)
    return {
        one: other
        for shape in mine.keys() & theirs.keys()
        if max(len(mine[shape]), len(theirs[shape])) <= _MOST
        for one, other in _matched(mine[shape], theirs[shape])
    }


def _by_shape(checkpoint: Checkpoint, section: Section) -> dict[tuple[int, ...], dict[str, Sample]]:
    found: dict[tuple[int, ...], dict[str, Sample]] = {}
    for key, tensor in section.tensors.items():
        sample = _sample(checkpoint, tensor) if isinstance(tensor, Tensor) else None
        if sample is not None:
            found.setdefault(tensor.spec.shape, {})[key] = sample
    return found


def _sample(checkpoint: Checkpoint, tensor: Tensor) -> Sample | None:
    """The first elements without their mean, of length 1; None where they are all one, or no floats."""
    import numpy as np

    from ckptlint.formats.tensor_bytes import tensor_blocks

    code = _FLOATS.get(tensor.spec.dtype.name)
    if code is None or tensor.spec.numel < _FEWEST:
        return None
    size = np.dtype(code).itemsize * min(_ELEMENTS, tensor.spec.numel)
    start = bytearray()
    for block in tensor_blocks(checkpoint, tensor):
        start += block[: size - len(start)]
        if len(start) >= size:
            break
    values = np.frombuffer(start, code)
    if code == "<u2":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    moved = values.astype(np.float64)
    moved = moved - moved.mean()
    length = float(np.linalg.norm(moved))
    return moved / length if np.isfinite(length) and length > 0 else None


def _matched(old: dict[str, Sample], new: dict[str, Sample]) -> Iterator[tuple[str, str]]:
    import numpy as np

    mine, theirs = list(old), list(new)
    likeness = np.stack(list(old.values())) @ np.stack(list(new.values())).T
    best = likeness.argmax(axis=1)
    for number, key in enumerate(mine):
        place = int(best[number])
        rivals = np.concatenate([np.delete(likeness[number], place), np.delete(likeness[:, place], number)])
        next_best = float(rivals.max()) if rivals.size else -1.0
        score = float(likeness[number, place])
        if score >= _ALIKE and score - next_best >= _MARGIN:
            yield key, theirs[place]
