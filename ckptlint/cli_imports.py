"""The command that takes over what was written for other tools."""

from __future__ import annotations

from typing import Any

import click

from ckptlint.cli_options import finish, model_options, section_option, text_or_json


@click.command("import")
@click.argument("mapping")
@click.argument("source")
@click.argument("target", required=False)
@click.option(
    "--name", metavar="NAME", help="Which mapping of the file: a variable, Class.attribute, or the key of an entry."
)
@click.option(
    "--as",
    "reading",
    type=click.Choice(["exact", "prefix", "substring", "first", "regex"]),
    help="How the entries of a plain table or list are meant, where several ways give other names.",
)
@click.option("-o", "--output", metavar="FILE", help="Migration file to write, instead of printing it.")
@model_options
@section_option
@text_or_json
def import_(**given: Any) -> None:
    """Turn MAPPING, renaming rules written for other tools, into a migration of the tensors of SOURCE, and say what is wrong with them."""
    import ckptlint.commands.importing as command

    finish(command.run, given)
