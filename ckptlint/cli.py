"""The command line: arguments in, exit code out; no policy here.

Each command imports its module when it runs, so that `--help` and `lint` pay for nothing they do not use. What commands return is
text for stdout; talk goes to stderr. Exit codes are those of `docs/commands.md`, the same in every format.
"""

from __future__ import annotations

from typing import Any

import click

from ckptlint import __version__
from ckptlint.cli_chains import COMMANDS as CHAIN_COMMANDS
from ckptlint.cli_imports import import_
from ckptlint.cli_options import arguments as _arguments
from ckptlint.cli_options import baseline_options, every_format
from ckptlint.cli_options import finish as _finish
from ckptlint.cli_options import model_options as _model
from ckptlint.cli_options import options as _options
from ckptlint.cli_options import param_group as _param_group
from ckptlint.cli_options import section_option as _section
from ckptlint.cli_options import text_or_json as _text_or_json
from ckptlint.cli_options import undo_file as _undo_file
from ckptlint.cli_verify import verify
from ckptlint.ending import ended

FORMATS = ("text", "json", "github", "markdown")
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Commands(click.Group):
    """Lists commands in the order of use, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)


@click.group(cls=Commands, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="ckptlint")
def cli() -> None:
    """Lint checkpoints against models, and migrate them with proof. Nothing in a checkpoint is ever executed."""


_against = _options(
    click.option("--model", metavar="SPEC", help="Model: pkg.mod:Class, pkg.mod:factory or path.py:Class."),
    click.option("--lock", metavar="FILE", help="Committed lock file of the model."),
    click.option("--against", metavar="ANY", help="Any source of a schema: model, lock, checkpoint, JSON of keys."),
    _model,
)
_text_json_or_page = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="Format.",
)
_config = click.option(
    "--config", metavar="FILE", help="Config file instead of the nearest pyproject.toml or ckptlint.toml."
)
_params = click.option(
    "--param", "params", metavar="NAME=VALUE", multiple=True, help="Value for one of the migration's params."
)


@cli.command()
@click.argument("checkpoints", nargs=-1, required=True)
@_against
@_section
@click.option("--select", multiple=True, metavar="CODES", help="Only these rules: codes or prefixes, comma-separated.")
@click.option("--extend-select", multiple=True, metavar="CODES", help="These rules as well.")
@click.option("--ignore", multiple=True, metavar="CODES", help="Not these rules.")
@click.option("--rules", "folders", multiple=True, metavar="FOLDER", help="Folder of rules of your own.")
@click.option("--only", multiple=True, metavar="TEMPLATE", help="Judge only these keys of the model.")
@click.option("--allow-missing", multiple=True, metavar="TEMPLATE", help="Keys that the checkpoint may lack.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info", "never"]),
    help="Severity from which the exit code is 1.  [default: error]",
)
@click.option(
    "--values", is_flag=True, help="Also look at the tensors' elements: NaN, infinities, zeros, copies; reads the data."
)
@click.option(
    "--max-memory",
    metavar="SIZE",
    default="1G",
    show_default=True,
    help="With --values: memory for blocks of elements.",
)
@click.option("--all", "everything", is_flag=True, help="Show every group, not the first twenty.")
@baseline_options
@every_format
@_config
def lint(**given: Any) -> None:
    """Check CHECKPOINTS against a model, its lock, or anything that has a schema."""
    import ckptlint.commands.lint as command

    _finish(command.run, given)


@cli.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--select", multiple=True, metavar="CODES", help="Only these rules: codes or prefixes, comma-separated.")
@click.option("--ignore", multiple=True, metavar="CODES", help="Not these rules.")
@click.option("--rules", "folders", multiple=True, metavar="FOLDER", help="Folder of rules of your own.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info", "never"]),
    help="Severity from which the exit code is 1.  [default: error]",
)
@click.option("--all", "everything", is_flag=True, help="Show every finding, and files in which nothing was found.")
@baseline_options
@every_format
@_config
def scan(**given: Any) -> None:
    """Say what PATHS would do if they were loaded: what they run, import and hide. Files of any kind; folders with all in them."""
    import ckptlint.commands.scan as command

    _finish(command.run, given)


@cli.command()
@click.argument("checkpoint")
@click.argument("pattern", required=False)
@click.option("--digest", is_flag=True, help="Also the digest of every tensor; reads the data.")
@click.option("--flat", is_flag=True, help="One line a key, nothing folded.")
@_text_or_json
def inspect(**given: Any) -> None:
    """Show what CHECKPOINT holds, from its header alone; PATTERN selects tree paths or keys."""
    import ckptlint.commands.inspect as command

    _finish(command.run, given)


@cli.command()
@click.argument("old")
@click.argument("new")
@_model
@_section
@_text_or_json
def diff(**given: Any) -> None:
    """Compare two schemas by key pattern, and the rest of two checkpoints."""
    import ckptlint.commands.diff as command

    _finish(command.run, given)


@cli.command()
@click.argument("models", nargs=-1)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where a lock is not what its model gives.")
@click.option("-o", "--output", metavar="FILE", help="Lock file to write or check, for a model given as SPEC.")
@_model
@_config
def lock(**given: Any) -> None:
    """Write or check the lock of MODELS: names from the config, or SPECs; all configured ones by default."""
    import ckptlint.commands.lock as command

    _finish(command.run, given)


@cli.command()
@click.argument("files", nargs=-1)
@click.option(
    "-m", "--migration", "migrations", metavar="FILE", multiple=True, help="Migration file; several run in order."
)
@click.option("--source", metavar="ANY", help="The old schema: checkpoint, lock, model, JSON of keys.")
@click.option("--target", metavar="ANY", help="The new schema that must come out.")
@_params
@_model
@_section
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="Format of the output."
)
def prove(**given: Any) -> None:
    """Prove from headers what migrations do, before a byte moves. Without --source the files are checked by themselves."""
    import ckptlint.commands.prove as command

    _finish(command.run, given)


@cli.command()
@click.argument("source")
@click.argument("target")
@click.option("-o", "--output", metavar="FILE", help="Migration file to write, instead of printing it.")
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.9,
    show_default=True,
    help="What a match needs; what has less is left to you.",
)
@click.option("--no-order", is_flag=True, help="Take the order of keys as no evidence.")
@click.option("--no-values", is_flag=True, help="Read no values, where both sides are checkpoints.")
@click.option(
    "--ask", is_flag=True, help="Ask in the terminal what nothing decides; the answers become part of the migration."
)
@_model
@_section
@_text_or_json
def suggest(**given: Any) -> None:
    """Write the migration that takes SOURCE to TARGET, as far as it can be told: each a checkpoint, lock, model or JSON of keys."""
    import ckptlint.commands.suggest as command

    _finish(command.run, given)


cli.add_command(import_)


@cli.command()
@click.argument("checkpoint")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="File to write; its suffix decides the format. With .dcp or a / at the end: a distributed checkpoint (DCP).",
)
@click.option(
    "--max-shard-size",
    metavar="SIZE",
    help="Write shards of at most SIZE (2GB) with an index, where one .safetensors or .bin would be larger.",
)
@click.option("--legacy", is_flag=True, help="Write the format of torch before 1.6, for what can read nothing newer.")
@click.option(
    "-m", "--migration", "migrations", metavar="FILE", multiple=True, help="Migration file; several run in order."
)
@click.option("--chain", metavar="FOLDER", help="Folder of migrations that follow each other, in the place of -m.")
@click.option(
    "--to", "end", metavar="REV", default="head", show_default=True, help="With --chain: head, base, or a revision."
)
@click.option("--from", "start", metavar="REV", help="With --chain: where the checkpoint stands, if it does not tell.")
@_params
@click.option("--reverse", is_flag=True, help="Run the inverse, or say which step loses data.")
@click.option("--source", metavar="ANY", help="With --reverse: the old schema, where the new one does not decide it.")
@_undo_file
@_section
@click.option(
    "--model",
    metavar="SPEC",
    help="The new model: `new: {init: ...}` takes values of its initialiser, optimizers the order of its parameters.",
)
@_arguments
@click.option(
    "--allow-python", is_flag=True, help="Run the Python functions that the migration calls, in this process."
)
@click.option(
    "--strict-state", is_flag=True, help="Refuse where an optimizer would begin anew with some of its parameters."
)
@_param_group
@click.option("--dry-run", is_flag=True, help="Print the plan, write nothing.")
@click.option("--in-place", is_flag=True, help="Change CHECKPOINT itself, where no data has to move.")
@click.option("--resume", is_flag=True, help="Begin with the shards that an interrupted run of this command finished.")
@click.option("--force", is_flag=True, help="Replace an existing output.")
@click.option("--no-verify", is_flag=True, help="Do not compare the checksums of what is read.")
@click.option("--digests", metavar="FILE", help="Also write the output's digests, for `ckptlint verify`.")
@click.option(
    "--allow-expand", is_flag=True, help="Write out tensors whose elements the source repeats by strides of 0."
)
@click.option(
    "--max-memory",
    metavar="SIZE",
    help="Memory that tensors may take; more is refused.  [default: half of what is free]",
)
@_text_or_json
def migrate(**given: Any) -> None:
    """Bring CHECKPOINT up to date: write a new file, whole or not at all."""
    import ckptlint.commands.migrate as command

    _finish(command.run, given)


@cli.command()
@click.argument("checkpoint")
@click.option("--undo", is_flag=True, help="Take the change back instead.")
def recover(**given: Any) -> None:
    """Finish what a killed run began: changing CHECKPOINT in place, or putting several files in theirs."""
    import ckptlint.commands.recover as command

    _finish(command.run, given)


for _command in (*CHAIN_COMMANDS, verify):
    cli.add_command(_command)


@cli.command()
@click.option("--rules", "folders", multiple=True, metavar="FOLDER", help="Folder of rules of your own.")
@_text_json_or_page
def rules(**given: Any) -> None:
    """List the lint rules."""
    import ckptlint.commands.rules as command

    _finish(command.run, given)


@cli.command()
@_text_json_or_page
def ops(**given: Any) -> None:
    """List the operations of migrations."""
    import ckptlint.commands.ops as command

    _finish(command.run, given)


@cli.command()
@click.option("--list", "listed", is_flag=True, help="List them, one a line; so does no option at all.")
@click.option("--show", "name", metavar="NAME", help="Print the file of one of them.")
@_text_json_or_page
def migrations(**given: Any) -> None:
    """List the migrations that come with ckptlint, or show one: `migrate -m NAME` runs it, a copy can be changed."""
    import ckptlint.commands.migrations as command

    _finish(command.run, given)


@cli.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--select", multiple=True, metavar="CODES", help="Only these rules: codes or prefixes, comma-separated.")
@click.option("--ignore", multiple=True, metavar="CODES", help="Not these rules.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info", "never"]),
    default="warning",
    show_default=True,
    help="Severity from which the exit code is 1.",
)
@click.option("--fix", "mending", flag_value="fix", help="Mend what has one meaning, then check.")
@click.option("--diff", "mending", flag_value="diff", help="Show what --fix would change, exit 1 where it would.")
@baseline_options
@every_format
@_config
def hook(**given: Any) -> None:
    """Check the loading code in PATHS, Python files or folders of them, by its syntax: nothing is imported or run."""
    import ckptlint.commands.hook as command

    _finish(command.run, given)


@cli.command()
@click.argument("code")
@click.option("--rules", "folders", multiple=True, metavar="FOLDER", help="Folder of rules of your own.")
def explain(**given: Any) -> None:
    """Explain a rule by its CODE or slug, or an operation by its name."""
    import ckptlint.commands.explain as command

    _finish(command.run, given)


def _name_environment() -> None:
    """Give every option its environment variable, by the names that users see: `lint --format` is CKPTLINT_LINT_FORMAT."""
    for name, command in cli.commands.items():
        for option in command.params:
            if isinstance(option, click.Option):
                flag = max(option.opts, key=len).lstrip("-")
                option.envvar = f"CKPTLINT_{name}_{flag}".upper().replace("-", "_")


_name_environment()


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return ended(lambda: _run(argv))


def _run(argv: list[str] | None) -> int:
    try:
        cli.main(argv, prog_name="ckptlint", standalone_mode=False)
    except click.exceptions.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return 0
