"""Checks of what a project asks of its checkpoints, whatever the model: `require` and `forbid`."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.checks.base import Check, Comparison, parameter_names, said
from ckptlint.checks.conditions import Conditions, PathSelector
from ckptlint.core.finding import Fact
from ckptlint.core.paths import walk
from ckptlint.core.spec import TensorSpec


def require(seen: Comparison, options: Conditions) -> Iterator[Fact]:
    """Tensors selected by `keys` that break a condition; selectors and paths that nothing matches; a file of another size."""
    kinds = _kinds(seen) if options.kind else {}
    for key, spec in _selected(seen, options) if options.of_tensors else ():
        for name in options.of_tensors:
            if options.verdict(name, spec, kinds.get(key, "")) is False:
                yield Fact(key, {"actual": said(spec), "condition": options.wish(name)})
    for selector in options.keys:
        if not any(map(selector.matches, seen.file.tensors)):
            yield Fact("", {"pattern": str(selector), "actual": "absent", "condition": f"key {selector}"})
    for path in options.path if seen.checkpoint else ():
        if next(_matching(seen, path), None) is None:
            yield Fact("", {"pattern": str(path), "actual": "absent", "condition": f"path {path}"})
    yield from _of_size(seen, options, holding=False)


def forbid(seen: Comparison, options: Conditions) -> Iterator[Fact]:
    """Tensors of which every condition holds; paths that are there; a file of that size."""
    kinds = _kinds(seen) if options.kind else {}
    wish = ", ".join(map(options.wish, options.of_tensors or ("keys",)))
    for key, spec in _selected(seen, options) if options.keys or options.of_tensors else ():
        if all(options.verdict(name, spec, kinds.get(key, "")) for name in options.of_tensors):
            yield Fact(key, {"actual": said(spec), "condition": wish})
    for path in options.path:
        for found in _matching(seen, path):
            yield Fact(found, {"actual": "there", "condition": f"path {path}"})
    yield from _of_size(seen, options, holding=True)


def _selected(seen: Comparison, options: Conditions) -> Iterator[tuple[str, TensorSpec]]:
    return ((key, spec) for key, spec in seen.file.tensors.items() if options.selects(key))


def _of_size(seen: Comparison, options: Conditions, *, holding: bool) -> Iterator[Fact]:
    total = _total(seen)
    if options.checkpoint_bytes is not None and options.checkpoint_bytes.holds(total) is holding:
        yield Fact(
            "", {"pattern": "the file", "actual": f"{total} bytes", "condition": options.wish("checkpoint_bytes")}
        )


def _matching(seen: Comparison, selector: PathSelector) -> Iterator[str]:
    """Yield the tree paths that match, but none inside another one that does."""
    inside = ""
    for path, _ in walk(seen.checkpoint.root) if seen.checkpoint else ():
        if inside and path.startswith(inside):
            continue
        if selector.matches(path):
            inside = f"{path.rstrip('/')}/"
            yield path


def _kinds(seen: Comparison) -> dict[str, str]:
    """Return parameter or buffer by key; a key of which neither the file nor the model says it is left out."""
    stored = parameter_names(seen.file)
    if stored is not None:
        return {key: "parameter" if key in stored else "buffer" for key in seen.file.tensors}
    wanted = seen.parameters
    if wanted is None:
        return {}
    return {each.stored: "parameter" if key in wanted else "buffer" for key, each in seen.pairs.items()}


def _total(seen: Comparison) -> int:
    """Bytes of the file, or of the tensors where there is no file."""
    parts = seen.checkpoint.parts if seen.checkpoint else ()
    return sum(part.size for part in parts) or sum(spec.nbytes for spec in seen.file.tensors.values())


POLICY_CHECKS = {
    "require": Check(require, words=("actual", "condition"), options=Conditions),
    "forbid": Check(forbid, words=("actual", "condition"), options=Conditions),
}
