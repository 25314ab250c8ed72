"""One build from request to reply: both are JSON files in a folder that only parent and child know."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .faults import BuildError, explain
from .limits import limit_memory, limit_time
from .places import Project


def run(exchange: Path) -> None:
    """Build, describe and reply; then end the process at once, whatever threads the user's code has left running."""
    with (exchange / "stack.txt").open("w", encoding="utf-8") as stack:
        request = json.loads((exchange / "request.json").read_text(encoding="utf-8"))
        limit_time(request["seconds"], stack)
        os.dup2(2, 1)  # what the user's code prints is talk, not data
        sys.argv = [request["place"]]
        try:
            reply = _build(request)
        except BuildError as fault:
            reply = {"fault": {"message": fault.message, "hint": fault.hint, "kind": fault.kind}}
        (exchange / "reply.json").write_text(json.dumps(reply), encoding="utf-8")
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(0)


def _build(request: dict[str, Any]) -> dict[str, Any]:
    _import_torch()
    from . import calling, describing, devices, initial, loading

    cwd = Path.cwd()
    origin = loading.Origin.of(request["place"], cwd)
    project = loading.project(origin, cwd)
    _make_importable(origin.folder, cwd)
    limit_memory(request["memory"])
    here, there = devices.OneDevice("cpu"), devices.OneDevice(request["device"])
    call = calling.Call(tuple(request["positional"]), request["keywords"])
    with here:
        found = loading.load(origin, request["names"], cwd)
    if request["seed"] is not None:
        _seed(request["seed"])
    with _explained(f"calling {loading.name_of(found)}", project):
        model = calling.build(found, call, there)
    if request["witness"] is not None:
        from . import witness

        with _explained(f"forward of {type(model).__name__}", project), there:
            return {"witness": witness.observe(model, request["witness"])}
    with _explained(f"state_dict() of {type(model).__name__}", project):
        if request["keys"]:
            initial.write(model, request["keys"], Path(request["values"]))
        described = describing.describe(model, finished=model is found, asked=[*(here.asked | there.asked)])
        return {"schema": asdict(described)}


@contextmanager
def _explained(doing: str, project: Project) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        raise explain(error, doing, project) from error


def _import_torch() -> None:
    """Import torch before the user's folder is on the path, so that a `types.py` there cannot break it."""
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: one of its shared libraries does not load
        raise BuildError(
            f"torch cannot be imported by {sys.executable}: {error}",
            hint="install it there (pip install 'ckptlint[torch]'), or compare with a committed lock, which needs no torch",
        ) from None


def _seed(seed: int) -> None:
    import torch

    torch.manual_seed(seed)


def _make_importable(folder: Path, cwd: Path) -> None:
    """Find modules beside a named file and below the working folder, as `python file.py` and `python -m` would."""
    wanted = [folder] if os.environ.get("PYTHONSAFEPATH") else [folder, cwd]
    sys.path[:0] = dict.fromkeys(map(str, wanted))
