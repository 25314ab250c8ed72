"""The kinds of faults that are no rule files, as pages and as texts of `explain`: about migrations, chains, the gate and ignores."""

from __future__ import annotations

from ckptlint.engine.fault_examples import EXAMPLES, Example
from ckptlint.engine.faults import KINDS, FaultKind

_ABOUT = {
    "CKM": "about migrations: prove, make, migrate, check",
    "CKG": "about chains: check, make, log, migrate --chain",
    "CKB": "about a change: check",
    "CKF": "about a change, the other way: check --forward",
    "CKX": "about ignores and baselines: lint, check, hook",
}


def table() -> list[str]:
    """The rows of the table in docs/rules.md, in the order of the codes."""
    return [f"| [{kind.code}](#{_anchor(kind)}) | {_about(kind)} | {kind.summary} |" for kind in _ordered()]


def markdown() -> list[str]:
    """A section for each kind."""
    lines: list[str] = []
    for kind in _ordered():
        example = EXAMPLES[kind.code]
        lines += [
            "",
            f"## {kind.code} {kind.slug}",
            "",
            f"*{_about(kind)}*. {kind.summary}",
            "",
            _introduced(example),
            "",
        ]
        lines += [f"```{'yaml' if example.keys else 'text'}", example.shown, "```"]
        lines += ["", f"**What to do:** {example.cure}"]
    return lines


def describe(kind: FaultKind) -> list[str]:
    """The text of `ckptlint explain CODE`."""
    example = EXAMPLES[kind.code]
    shown = [f"    {line}" for line in example.shown.splitlines()]
    return [
        f"{kind.code} {kind.slug} ({_about(kind)})",
        "",
        kind.summary,
        "",
        _introduced(example).replace("`", ""),
        "",
        *shown,
        "",
        f"what to do: {example.cure}",
    ]


def _introduced(example: Example) -> str:
    if not example.keys:
        return "For example:"
    ties = "".join(f"; {' and '.join(f'`{key}`' for key in group)} are one tensor" for group in example.ties)
    to = f" to {', '.join(f'`{key}`' for key in example.target)}" if example.target else ""
    return f"For example, from {', '.join(f'`{key}`' for key in example.keys)}{to}{ties}:"


def _about(kind: FaultKind) -> str:
    return _ABOUT[kind.code[:3]]


def _anchor(kind: FaultKind) -> str:
    return f"{kind.code.lower()}-{kind.slug}"


def _ordered() -> list[FaultKind]:
    return [KINDS[code] for code in sorted(KINDS)]
