"""What commands share: the choice of text or JSON, and how a command ends: what it gives is printed, its code is the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import click

text_or_json = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of the output.",
)


def finish(run: Callable[..., tuple[Iterable[str], int]], given: dict[str, Any]) -> NoReturn:
    """Run a command, print what it gives, exit with its code."""
    if "device" in given:  # how to build a model is one thing
        from ckptlint.commands.sources import Building

        given["building"] = Building(given.pop("arguments"), given.pop("device"), given.pop("timeout"))
    lines, code = run(**given)
    for line in lines:
        click.echo(line)
    sys.stdout.flush()
    raise SystemExit(code)
