"""What commands share: the choice of text or JSON, and how a command ends: what it gives is printed, its code is the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import click


def options(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


arguments = click.option(
    "--args", "arguments", metavar="JSON|YAML|@FILE", help="Arguments of the model: a mapping or a list."
)
model_options = options(
    arguments,
    click.option(
        "--device",
        type=click.Choice(["auto", "meta", "cpu"]),
        default="auto",
        show_default=True,
        help="Where to build the model; auto tries meta first.",
    ),
    click.option(
        "--timeout", type=float, default=120.0, show_default=True, help="Seconds that building the model may take."
    ),
)
param_group = click.option(
    "--param-group",
    "param_groups",
    metavar="KEYS",
    multiple=True,
    help="Old weights of each group of an optimizer that numbers its parameters, in its order; a weight is of the first that selects it.",
)
undo_file = click.option(
    "--undo-file",
    metavar="FILE",
    help="Write what the output lacks of CHECKPOINT; with --reverse: take it from there, so that the way back is exact.",
)
section_option = click.option(
    "--section", metavar="PATH", help="Tree path of the state dict, such as /model_state_dict."
)
text_or_json = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of the output.",
)

every_format = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif", "github", "gitlab", "junit", "markdown"]),
    default="text",
    show_default=True,
    help="Format of the output.",
)

baseline_options = options(
    click.option("--baseline", metavar="FILE", help="Findings listed there are known, and fail nothing."),
    click.option("--write-baseline", is_flag=True, help="Begin the --baseline FILE with what is found now."),
    click.option("--prune-baseline", is_flag=True, help="Take out of the --baseline FILE what is no longer found."),
)


def finish(run: Callable[..., tuple[Iterable[str], int]], given: dict[str, Any]) -> NoReturn:
    """Run a command, print what it gives, exit with its code."""
    if "baseline" in given:
        from ckptlint.commands.accepting import Baselining

        given["baseline"] = Baselining(given.pop("baseline"), given.pop("write_baseline"), given.pop("prune_baseline"))
    if "device" in given:  # how to build a model is one thing
        from ckptlint.commands.sources import Building

        given["building"] = Building(given.pop("arguments"), given.pop("device"), given.pop("timeout"))
    lines, code = run(**given)
    for line in lines:
        click.echo(line)
    sys.stdout.flush()
    raise SystemExit(code)
