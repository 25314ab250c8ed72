"""A proof as text, JSON, GitHub annotations and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ckptlint.core.finding import Finding
from ckptlint.core.operation import Grade
from ckptlint.engine.prove import Proof, RewriteProof, TreeProof
from ckptlint.report.escape import escape
from ckptlint.report.plans import entry

Proved = Sequence[tuple[str, Proof]]


def text(proved: Proved) -> Iterator[str]:
    """For people: the verdict of each migration, what each rewrite does, what is wrong or to be known."""
    for path, proof in proved:
        yield escape(f"{path}: {_verdict(proof)}")
        for rewrite in proof.rewrites:
            yield escape(f"  {_rewrite(rewrite)}")
        for step in proof.tree:
            yield escape(f"  {_step(step)}")
        if proof.swapped is not None:
            yield f"  in the other order: {proof.swapped}"
        for finding in proof.findings:
            yield escape(f"  {finding.severity}[{finding.rule} {finding.slug}] {finding.message}")
            if finding.hint:
                yield escape(f"    hint: {finding.hint}")


def as_json(proved: Proved) -> Iterator[str]:
    """One object, described in `docs/json.md`."""
    import json

    yield json.dumps({"version": 1, "migrations": [_entry(path, proof) for path, proof in proved]}, indent=1)


def github(proved: Proved) -> Iterator[str]:
    """One workflow command a finding, at the line of the rewrite it is about."""
    from ckptlint.report.github import command

    for path, proof in proved:
        for finding in proof.findings:
            place = _place(finding, path)
            yield command(str(finding.severity), f"{finding.rule} {finding.slug}", finding.message, *place)


def markdown(proved: Proved) -> Iterator[str]:
    """For a pull request."""
    for path, proof in proved:
        yield f"**{path}**: {_verdict(proof)}"
        yield ""
        for finding in proof.findings:
            yield f"- {finding.severity} `{finding.rule}` {finding.message}"
        yield ""


RENDERERS: dict[str, Callable[[Proved], Iterator[str]]] = {
    "text": text,
    "json": as_json,
    "github": github,
    "markdown": markdown,
}


def _verdict(proof: Proof) -> str:
    if proof.plan is None:
        return "does not fit"
    old, new = len(proof.plan.source.tensors), len(proof.plan.target.tensors)
    fits = "does not make the target" if proof.failed else "proved"
    return f"{fits}, {old} -> {new} tensors, undo {proof.grade}, applied twice: {proof.again}"


def _rewrite(rewrite: RewriteProof) -> str:
    place = rewrite.where.rpartition(": ")[2] or rewrite.where
    inactive = "" if rewrite.active else ", its condition does not hold"
    reason = f" ({rewrite.reason})" if rewrite.reason and rewrite.grade is not Grade.EXACT else ""
    return f"{place} {rewrite.form}: {rewrite.keys} -> {rewrite.tensors}, undo {rewrite.grade}{reason}{inactive}"


def _step(step: TreeProof) -> str:
    place = step.where.rpartition(": ")[2] or step.where
    return f"{place} {step.form}: undo {step.grade}{f' ({step.reason})' if step.reason else ''}"


def _entry(path: str, proof: Proof) -> dict[str, object]:
    return {
        "migration": path,
        "fits": proof.plan is not None,
        "failed": proof.failed,
        "grade": str(proof.grade) if proof.grade else None,
        "again": str(proof.again) if proof.again else None,
        "swapped": str(proof.swapped) if proof.swapped else None,
        "rewrites": [
            {
                "where": each.where,
                "form": each.form,
                "active": each.active,
                "keys": each.keys,
                "tensors": each.tensors,
                "grade": str(each.grade),
                "reason": each.reason,
            }
            for each in proof.rewrites
        ],
        "tree": [
            {"where": step.where, "form": step.form, "grade": str(step.grade), "reason": step.reason}
            for step in proof.tree
        ],
        "findings": [_finding(finding) for finding in proof.findings],
        "plan": entry("/", proof.plan) if proof.plan else None,
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "rule": finding.rule,
        "slug": finding.slug,
        "severity": str(finding.severity),
        "message": finding.message,
        "keys": list(finding.keys),
        "pattern": finding.pattern,
        "where": finding.words.get("where", ""),
        "hint": finding.hint,
    }


def _place(finding: Finding, path: str) -> tuple[str, int]:
    """The file and line that `file:line:column: path` names."""
    parts = finding.words.get("where", "").split(":")
    return (parts[0], int(parts[1])) if len(parts) > 2 and parts[1].isdigit() else (path, 1)
