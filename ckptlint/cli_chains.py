"""The commands about chains of migrations, in the order of use."""

from __future__ import annotations

from typing import Any

import click

from ckptlint.cli_options import finish, text_or_json


@click.command()
@click.argument("chain", metavar="FOLDER")
@text_or_json
def log(**given: Any) -> None:
    """List the migrations of the chain in FOLDER, newest first: id, digest of the keys behind it, summary."""
    import ckptlint.commands.log as command

    finish(command.run, given)


@click.command()
@click.argument("checkpoint")
@click.option("--chain", metavar="FOLDER", required=True, help="Folder of migrations that follow each other.")
@click.option(
    "--lock", metavar="FILE", help="Lock of the head, to find the nearest revision.  [default: FOLDER/schema.lock]"
)
@text_or_json
def current(**given: Any) -> None:
    """Say at which revision of a chain CHECKPOINT stands, and what tells it; exit 1 where only the nearest is known."""
    import ckptlint.commands.current as command

    finish(command.run, given)


COMMANDS = (log, current)
