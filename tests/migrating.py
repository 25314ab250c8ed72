"""Migrate what torch saved, in this process, and load what came out."""

import itertools
import textwrap

import torch

from ckptlint.commands.migrate import Request, migrate

_numbers = itertools.count()


def write_migration(folder, body):
    """A migration file with this body below its head."""
    path = folder / f"m{next(_numbers)}.yaml"
    path.write_text("ckptlint: 1\nsummary: a test\n" + textwrap.dedent(body), encoding="utf-8")
    return path


def migrated_file(folder, source, *bodies, suffix=".pt", **more):
    """Migrate a file by migrations of these bodies; return the output's path."""
    output = folder / f"out{next(_numbers)}{suffix}"
    files = [str(write_migration(folder, body)) for body in bodies]
    migrate(Request(str(source), files, str(output), **more))
    return output


def migrated(folder, value, *bodies, **more):
    """Save a value, migrate the file, and load the result with its classes."""
    source = folder / f"in{next(_numbers)}.pt"
    torch.save(value, source)
    return torch.load(migrated_file(folder, source, *bodies, **more), weights_only=False)
