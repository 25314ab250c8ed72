"""Builds in a fork of the test process: the child's own code on the user's own files, without importing torch anew."""

import json
import os
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path

from ckptlint.source.arguments import Arguments
from ckptlint.source.build import Attempts
from ckptlint.source.process import Request, Workplace
from ckptlint.source.reference import ModelReference


def fork(request: Request, workplace: Workplace) -> str:
    """Do what `process.run` does, but for the time limit and the fresh interpreter."""
    from ckptlint.source.child import session

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
        exchange = Path(folder)
        (exchange / "request.json").write_text(json.dumps(asdict(request)), encoding="utf-8")
        process = os.fork()
        if not process:
            try:
                if (
                    "torch" in sys.modules
                ):  # its threads stay behind in the parent, and who asked them for anything would wait for ever
                    sys.modules["torch"].set_num_threads(1)
                os.chdir(workplace.cwd)
                session.run(exchange)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
        return (exchange / "reply.json").read_text(encoding="utf-8")


def attempts(reference: str, args: str | None, folder: Path, memory: int = 2**31) -> Attempts:
    work = Workplace(cwd=folder, memory=memory)
    return Attempts(ModelReference.parse(reference), Arguments.parse(args, folder), work, 60.0, run=fork)


def build(reference: str, folder: Path, *, args: str | None = None, device: str = "auto", memory: int = 2**31):
    tries = attempts(reference, args, folder, memory)
    return tries.first_that_works() if device == "auto" else tries.only(device)
