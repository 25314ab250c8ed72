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
@click.argument("source", required=False)
@click.argument("target", required=False)
@click.option(
    "--chain",
    metavar="FOLDER",
    help="Folder of migrations; the new one is put there as NNNN_slug.yaml.  [default: that of the model's lock]",
)
@click.option(
    "--from",
    "since",
    metavar="REF",
    help="Revision of git with the source code (and lock) before; what it shows to be renamed is not asked.  [default: HEAD]",
)
@click.option(
    "--no-input", is_flag=True, help="Ask nothing, also in a terminal: questions are JSON, and the exit code 5."
)
@click.option("--answers", metavar="FILE", help="Answers to questions, as YAML or JSON: rename, drop, new, accept.")
@click.option("--slug", metavar="NAME", help="Name of the file behind its number; else it is made from what changes.")
@click.option("--summary", metavar="TEXT", help="What the migration does, in one line.")
@model_options
@click.option("--section", metavar="PATH", help="Tree path of the state dict, such as /model_state_dict.")
@text_or_json
def make(**given: Any) -> None:
    """Write the next migration of a chain, from SOURCE to TARGET; or of a configured model, from its committed lock to what it is now.

    What is certain is decided; all else is asked, in a terminal one by one; else the exit code is 5 and the questions are JSON on stdout.
    What is written is proved. Of a configured model the lock is written too.
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
@click.option(
    "--level",
    type=click.Choice(["exact", "strict", "migratable", "loose"]),
    help="What files of the base must keep: see docs/usage.md#levels.  [default: migratable]",
)
@click.option(
    "--allow-missing", multiple=True, metavar="TEMPLATE", help="At level loose: keys that an old file may lack."
)
@click.option("--forward", is_flag=True, help="Also say whether the code of the base can read files of the head.")
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


@click.command()
@_chain
@click.argument("files", nargs=-1)
@click.option("--lock", metavar="FILE", help="Lock of the chain's head.  [default: FOLDER/schema.lock]")
@click.option("--from", "start", metavar="REV", help="Where FILES stand in the chain, if they do not tell.")
def golden(**given: Any) -> None:
    """Record old files in FOLDER/golden.sum, those in FOLDER/golden and FILES: `check` brings each to the head of the chain."""
    import ckptlint.commands.golden as command

    finish(command.run, given)


@click.command("lock-merge")
@click.argument("base")
@click.argument("ours")
@click.argument("theirs")
def lock_merge(**given: Any) -> None:
    """Merge the lock THEIRS into OURS by what either changed since BASE: git's merge driver for locks, see `drivers`."""
    import ckptlint.commands.lock_drivers as command

    finish(command.merge, given)


@click.command("lock-diff")
@click.argument("path")
@click.argument("old", default="")
@click.argument("old_hash", default="")
@click.argument("old_mode", default="")
@click.argument("new", default="")
@click.argument("rest", nargs=-1)
def lock_diff(**given: Any) -> None:
    """Show two versions of a lock by key pattern: git's external diff for locks, called with its seven arguments, see `drivers`."""
    import ckptlint.commands.lock_drivers as command

    finish(command.diff, {"path": given["path"], "old": given["old"], "new": given["new"]})


@click.command()
@click.argument("folder", default=".")
def drivers(**given: Any) -> None:
    """Let git merge and show locks by their keys, in the repository of FOLDER: lines in .gitattributes, and settings of this clone."""
    import ckptlint.commands.lock_drivers as command

    finish(command.install, given)


@click.command()
@click.argument("paths", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option(
    "--timeout", type=float, default=120.0, show_default=True, help="Seconds that building each model may take."
)
def init(**given: Any) -> None:
    """Find the models in PATHS (by default this folder), and write the settings, their locks, and git's drivers for them."""
    import ckptlint.commands.init as command

    finish(command.run, given)


COMMANDS = (init, log, current, make, check, stamp, rebase, merge, squash, seal, golden, drivers, lock_merge, lock_diff)
