"""The names and specs of one state dict, with what a model knows of them beyond its keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ckptlint.core.spec import TensorSpec

_NOTHING: Mapping[str, TensorSpec] = MappingProxyType({})
_NO_CLASSES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Schema:
    """An ordered, read-only map from key to tensor spec.

    `parameters` names the parameters in `model.parameters()` order (None: the source cannot tell parameters from
    buffers), `ties` the groups of keys that are one tensor, in key order, `unsaved` the non-persistent buffers of a model,
    `modules` each submodule's class (`""` is the root), `classes` the fingerprints of the project's own classes (`source/where`), by
    which a change of their text is seen, `origin` where it all came from. Fingerprints are no part of what the schema promises.
    """

    tensors: Mapping[str, TensorSpec]
    parameters: tuple[str, ...] | None = None
    ties: tuple[tuple[str, ...], ...] = ()
    unsaved: Mapping[str, TensorSpec] = field(default_factory=lambda: _NOTHING)
    modules: Mapping[str, str] = field(default_factory=lambda: _NO_CLASSES)
    origin: str = ""
    classes: Mapping[str, str] = field(default_factory=lambda: _NO_CLASSES)

    @classmethod
    def of(cls, *lines: str, **more: object) -> Schema:
        """Build from `"key: f32[4,8]"` lines, the form tests and cases use."""
        pairs = (line.rpartition(":")[::2] for line in lines)
        return cls({key.strip(): TensorSpec.parse(spec) for key, spec in pairs}, **more)  # type: ignore[arg-type]

    def lines(self) -> Iterator[str]:
        return (f"{key}: {spec}" for key, spec in self.tensors.items())

    @property
    def numel(self) -> int:
        """Elements of all tensors, each tied tensor counted once."""
        repeated = {key for group in self.ties for key in group[1:]}
        return sum(spec.numel for key, spec in self.tensors.items() if key not in repeated)
