"""The commands about chains of migrations, in the order of use."""

from __future__ import annotations

from typing import Any

import click

from ckptlint.cli_options import baseline_options, every_format, finish, model_options, text_or_json


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


@click.command()
@click.argument("source")
@click.argument("target")
@click.option(
    "--chain", metavar="FOLDER", required=True, help="Folder of migrations; the new one is put there as NNNN_slug.yaml."
)
@click.option("--answers", metavar="FILE", help="Answers to questions, as YAML or JSON: rename, drop, new, accept.")
@click.option("--slug", metavar="NAME", help="Name of the file behind its number; else it is made from what changes.")
@click.option("--summary", metavar="TEXT", help="What the migration does, in one line.")
@model_options
@click.option("--section", metavar="PATH", help="Tree path of the state dict, such as /model_state_dict.")
@text_or_json
def make(**given: Any) -> None:
    """Write the next migration of a chain, from SOURCE (such as the committed lock) to TARGET (the new lock or model).

    What is certain is decided; all else is asked: the exit code is 5 and the questions are JSON on stdout. What is written is proved.
    """
    import ckptlint.commands.make as command

    finish(command.run, given)


@click.command()
@click.argument("chain", metavar="FOLDER")
@click.option("--lock", metavar="FILE", help="Lock of the chain's head.  [default: FOLDER/schema.lock]")
@click.option(
    "--base", metavar="ANY", help="What the change starts from: the lock before it, or anything that has a schema."
)
@click.option(
    "--against", metavar="REF", help="What the change starts from: the lock and chain as this revision of git has them."
)
@baseline_options
@every_format
def check(**given: Any) -> None:
    """Check the chain in FOLDER: is it whole, does it end at the lock, and does it lead there from the base."""
    import ckptlint.commands.check as command

    finish(command.run, given)


@click.command()
@click.argument("checkpoint")
@click.argument("revision")
@click.option("--chain", metavar="FOLDER", required=True, help="Folder of migrations that follow each other.")
@click.option("-o", "--output", metavar="FILE", required=True, help="File to write.")
@click.option("--force", is_flag=True, help="Replace an existing output.")
def stamp(**given: Any) -> None:
    """Record in a copy of CHECKPOINT that it stands at REVISION of a chain, whose keys it must have; nothing else changes."""
    import ckptlint.commands.stamp as command

    finish(command.run, given)


_chain = click.argument("chain", metavar="FOLDER")
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
_source = click.option(
    "--source",
    metavar="ANY",
    help="The schema before what is proved, where neither a lock nor the history of git has it.",
)


@click.command()
@_chain
@click.option("--onto", metavar="REV", help="The revision of the chain that the other branch goes behind.")
@click.option("--against", metavar="REF", help="The revision of git whose chain stays as it is, such as origin/main.")
@_source
@_dry_run
def rebase(**given: Any) -> None:
    """Put one branch of the chain in FOLDER behind the other; only where it is proved that their order does not matter."""
    import ckptlint.commands.rebase as command

    finish(command.run, given)


@click.command()
@_chain
@_source
@_dry_run
def merge(**given: Any) -> None:
    """Join the heads of the chain in FOLDER by a migration that follows them; for branches that are released, proved as for rebase."""
    import ckptlint.commands.merge as command

    finish(command.run, given)


@click.command()
@_chain
@click.argument("span", metavar="FIRST..LAST")
@click.option("--slug", metavar="NAME", help="Name of the file behind its number.  [default: squash]")
@_source
@_dry_run
def squash(**given: Any) -> None:
    """Write one migration that does what FIRST to LAST do; their files move to FOLDER/squashed, where their ids stay known."""
    import ckptlint.commands.squash as command

    finish(command.run, given)


@click.command()
@_chain
def seal(**given: Any) -> None:
    """Write the chain.sum of the chain in FOLDER anew, after migrations were written or changed by hand."""
    import ckptlint.commands.seal as command

    finish(command.run, given)


COMMANDS = (log, current, make, check, stamp, rebase, merge, squash, seal)
