"""Write what is derived from the code: pages of rules, operations and commands, the rules' index, the JSON Schema for editors.

python docs/generate.py            # write
python docs/generate.py --check    # exit 1 where a file is not what the code says
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ckptlint.cli import cli
from ckptlint.commands import migrations, ops, rules
from ckptlint.documents import json_schema
from ckptlint.documents.rules import index_of, load_rules
from ckptlint.documents.shipped import index_of as library_index

ROOT = Path(__file__).parent.parent


def commands() -> str:
    """Every command's own `--help`."""
    parts = [
        "# Commands",
        "",
        "Generated from the commands' own help. The exit codes and their meaning are in [usage.md](usage.md).",
        "",
    ]
    for name, command in cli.commands.items():
        context = click.Context(command, info_name=f"ckptlint {name}", max_content_width=110, terminal_width=110)
        parts += [f"## {name}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(parts)


def pages() -> dict[Path, str]:
    """All generated files and what they should hold."""
    docs, rule_folder = ROOT / "docs", ROOT / "rules"
    return {
        rule_folder / "index.json": index_of(rule_folder),
        ROOT / "migrations" / "index.json": library_index(ROOT / "migrations"),
        docs / "rules.md": "\n".join(rules.markdown(load_rules())),
        docs / "operations.md": "\n".join(ops.markdown()),
        docs / "commands.md": commands(),
        docs / "shipped-migrations.md": "\n".join(migrations.markdown()),
        docs / "schemas" / "migration.json": json_schema.text(),
    }


def main() -> int:
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what the code says; run `make format`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
