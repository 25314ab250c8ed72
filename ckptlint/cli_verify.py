"""The command that compares what is there with what should be: bytes, what a migration makes, what models compute."""

from __future__ import annotations

from typing import Any

import click

from ckptlint.cli_options import finish, options, text_or_json

_witness = options(
    click.option("--model", metavar="SPEC", help="The model of CHECKPOINT: load it strictly, in a process of its own."),
    click.option("--args", "arguments", metavar="JSON|YAML|@FILE", help="Arguments of the model."),
    click.option("--old-model", metavar="SPEC", help="The model of OLD: run both, and compare what they compute."),
    click.option("--old-args", "old_arguments", metavar="JSON|YAML|@FILE", help="Arguments of the old model."),
    click.option(
        "--input",
        "inputs",
        metavar="[NAME=]SPEC",
        multiple=True,
        help="A random input: x=f32[1,3,8,8], or ids=i64[1,16]<1000 for whole numbers below 1000.",
    ),
    click.option(
        "--module", metavar="NAME", default="", help="Run only this sub-module; OLD=NEW where its names differ."
    ),
    click.option(
        "--tolerance", type=click.FloatRange(0), help="Largest relative difference.  [default: from the dtypes]"
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Of the inputs, and of building the models."),
    click.option("--timeout", type=float, default=120.0, show_default=True, help="Seconds for each model."),
)
_replay = options(
    click.option("--plan-from", metavar="OLD", help="The checkpoint that CHECKPOINT was migrated from."),
    click.option(
        "-m", "--migration", "migrations", metavar="FILE", multiple=True, help="Migration to compute again from OLD."
    ),
    click.option("--param", "params", metavar="NAME=VALUE", multiple=True, help="A param of the migrations."),
    click.option("--section", metavar="PATH", help="The state dict meant."),
)


@click.command()
@click.argument("checkpoints", nargs=-1, required=True)
@click.option("--digests", metavar="FILE", help="Digests to compare with, of a time when the files were good.")
@click.option("--write", is_flag=True, help="Write the digests, to a --digests FILE that is not there yet.")
@_replay
@_witness
@text_or_json
def verify(**given: Any) -> None:
    """Compare the bytes of CHECKPOINTS with all checksums in them, and with digests; say what nothing vouches for.

    With --plan-from OLD -m FILE: with what the migration makes of OLD. With --model: load it, and with --old-model compare the numbers.
    """
    import ckptlint.commands.verify as command

    finish(command.run, given)
