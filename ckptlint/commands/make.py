"""`ckptlint make`: write the next migration of a chain, from the schema before to the one after; what is not certain is asked.

Nothing is written before the migration is read again, has its place in the chain, and is proved to make the target.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ckptlint.commands import sources
from ckptlint.commands.chain_folder import write_seals
from ckptlint.commands.chaining import begun
from ckptlint.commands.lock import write_model_lock
from ckptlint.commands.prompting import settle
from ckptlint.commands.sides import Sides, named, of_model
from ckptlint.commands.sources import Building
from ckptlint.commands.talk import talk
from ckptlint.commands.texts import put
from ckptlint.commands.versions import renames_since
from ckptlint.core.chain import number_of
from ckptlint.core.digest import k1, short
from ckptlint.core.migration import ChainPlace, Migration
from ckptlint.engine.chain import Chain, Link, link_up
from ckptlint.engine.compare import compare
from ckptlint.engine.prove import prove
from ckptlint.engine.source_renames import SourceRenames, with_source
from ckptlint.engine.suggest.answers import Answers
from ckptlint.engine.suggest.asking import Asked, Question, ask
from ckptlint.errors import UsageError

NEEDS_ANSWER = 5
_SLUG = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Request:
    """What to go from and to, the chain's folder, and how questions are answered.

    `since` is the revision of git that has the source code before. `ask` reads an answer from a person, where there is one.
    """

    source: str | None = None
    target: str | None = None
    chain: str | None = None
    answers: str | None = None
    slug: str | None = None
    summary: str | None = None
    building: Building = field(default_factory=Building)
    section: str | None = None
    since: str | None = None
    no_input: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """A migration that is proved, and where it goes."""

    path: str
    text: str
    link: Link


def run(*, form: str, **given: object) -> tuple[Iterable[str], int]:
    request = Request(**given)  # type: ignore[arg-type]  # click checked them
    sides = _sides(request)
    chain = begun(sides.chain)
    _check_start(sides, chain)
    if not compare(sides.old, sides.new):
        said = f"{sides.names[1]} is what {sides.names[0]} is: there is nothing to migrate"
        return ([json.dumps({"version": 1, "file": None})] if form == "json" else [said]), 0
    asked = _asked(request, sides, talking=form == "text" and not request.no_input)
    if asked.questions:
        talk(
            f"{len(asked.questions)} questions; answer them in a file for --answers (docs/migrations.md), nothing is written"
        )
        return [_as_json(asked.questions)], NEEDS_ANSWER
    made, reasons = _made(request, chain, asked, sides)
    if reasons:
        talk("the migration does not make the target, and is not written:")
        return reasons, 1
    _write(sides.chain, chain, made)
    lines = [_said(made, form)]
    if sides.model is not None:
        lock = write_model_lock(sides.model, sides.new)
        lines += [lock] if form == "text" else []
    return lines, 0


def _sides(request: Request) -> Sides:
    if request.source is not None and request.target is not None:
        how = (request.building, request.section)
        return named(request.source, request.target, request.chain, request.since, how)
    return of_model(request.source, request.chain, request.since, request.building)


def _asked(request: Request, sides: Sides, *, talking: bool) -> Asked:
    """What is decided, with the answers of a file, of the source code, and of a person where there is a terminal."""
    from ckptlint.documents.evidence import shipped_synonyms

    synonyms = shipped_synonyms()
    shown = renames_since(sides.since, Path(sides.chain), sides.old, sides.new) if sides.since else SourceRenames()
    answers = replace(_answers(request), seen=shown.certain)

    def again(given: Answers) -> Asked:
        found = ask(sides.old, sides.new, synonyms, given)
        return replace(found, questions=with_source(found.questions, shown))

    if talking and sys.stdin.isatty() and sys.stderr.isatty():
        return settle(again, answers, _read, talk)[0]
    return again(answers)


def _read(prompt: str) -> str:
    """A line from the terminal; the prompt goes to stderr, for stdout is data. No more lines is an abort."""
    import click

    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise click.exceptions.Abort
    return line


def _answers(request: Request) -> Answers:
    from ckptlint.documents.answers import read_answers

    return read_answers(sources.read_text(request.answers), request.answers) if request.answers else Answers()


def _check_start(sides: Sides, chain: Chain) -> None:
    """The source must be what the chain leads to, as far as that is recorded."""
    last = chain.links[-1] if chain.links else None
    after = last.place.after if last else ""
    if last and after and not k1(sides.old).startswith(after):
        raise UsageError(
            f"has the keys {short(k1(sides.old))}, and {last.revision} at the head of the chain makes {short(after)}",
            where=sides.names[0],
            hint="the source of `make` is the schema that the chain leads to so far, such as the committed lock",
        )


def _made(request: Request, chain: Chain, asked: Asked, sides: Sides) -> tuple[Made, list[str]]:
    """The migration, and why it does not prove."""
    from ckptlint.documents.migrations import read_migration
    from ckptlint.documents.suggested import Said, migration_yaml

    old, new = sides.old, sides.new
    place = ChainPlace(tuple(link.revision for link in chain.heads), k1(old), k1(new))
    said = Said(request.summary or "", place, asked.decided.dropped, asked.decided.filled)
    text = migration_yaml(asked.suggestion, old, new, said)
    number = 1 + max((number_of(link.revision) for link in chain.heads), default=0)
    path = os.path.join(sides.chain, f"{number:04d}_{_slug(request, asked)}.yaml")
    migration = read_migration(text, path)
    proof = prove(migration, old, new)
    findings = [f"{each.severity}[{each.rule} {each.slug}] {each.message}" for each in proof.findings]
    return Made(path, text, _linked(chain, migration)), findings if proof.failed else []


def _linked(chain: Chain, migration: Migration) -> Link:
    return link_up([*(link.migration for link in chain.links), migration]).links[-1]


def _slug(request: Request, asked: Asked) -> str:
    """The name that was given, else what the first change is called."""
    if request.slug is not None:
        if not _SLUG.fullmatch(request.slug):
            raise UsageError(f"--slug {request.slug!r} should be words of a-z and 0-9 with _ between them")
        return request.slug
    for match in asked.suggestion.matches:
        changed = [
            name for name in match.targets[0].template if name not in (match.sources or match.targets)[0].template
        ]
        words = re.findall(r"[a-z0-9]+", "_".join(changed or match.targets[0].template[-2:]).lower())
        if match.way != "rename" or changed:
            return "_".join([match.way, *words])[:48].rstrip("_")
    return "change"


def _write(folder: str, chain: Chain, made: Made) -> None:
    """Write the migration, and the sum behind it."""
    put(Path(made.path), made.text, new=True)
    write_seals(folder, link_up([*(link.migration for link in chain.links), made.link.migration]))


def _said(made: Made, form: str) -> str:
    if form == "json":
        place = made.link.migration.chain or ChainPlace()
        entry = {"file": made.path, "revision": made.link.revision, "parent": place.parent}
        return json.dumps({"version": 1, **entry, "from": place.before, "to": place.after})
    return f"wrote {made.path}: {made.link.revision}, proved"


def _as_json(questions: Iterable[Question]) -> str:
    return json.dumps({"version": 1, "questions": [_question(each) for each in questions]}, indent=1)


def _question(question: Question) -> dict[str, object]:
    return {
        "kind": question.kind,
        "about": question.about,
        "keys": list(question.keys),
        "shape": list(question.shape),
        "why": question.why,
        "choices": [
            {"answer": each.answer, "confidence": each.confidence, "evidence": list(each.evidence)}
            for each in question.choices
        ],
    }
