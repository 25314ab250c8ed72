"""Judge a checkpoint: run the checks that rules ask for, and turn the facts they see into findings folded by key pattern."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ckptlint.checks.base import Comparison, Explained
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.families import fold
from ckptlint.core.finding import Coverage, Fact, Finding, Report, Severity
from ckptlint.core.holes import escaped
from ckptlint.core.schema import Schema
from ckptlint.core.selection import Selection
from ckptlint.core.selector import Selector
from ckptlint.core.values import Measured
from ckptlint.engine.headline import headline
from ckptlint.engine.sections import choose_section
from ckptlint.engine.selected import LintRule, Running, running
from ckptlint.engine.wishes import closeness
from ckptlint.errors import DocumentError, UsageError

_NAMED = 4  # patterns that a message names
_LONGEST = 500  # characters of a pattern in a message; the finding has all of it
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class LintOptions:
    """`section` is the tree path to judge (empty: the weights that cover the model best), `name` what to call the checkpoint.

    For a partial load: `only` selects the keys of the model to look at, `allow_missing` those that may be absent (selectors).
    `accepted` are keys by rule that the source accepts at their lines; None where it was not asked.
    """

    name: str = ""
    section: str = ""
    selection: Selection = field(default_factory=Selection)
    only: tuple[str, ...] = ()
    allow_missing: tuple[str, ...] = ()
    accepted: Mapping[str, Collection[str]] | None = None


def lint(
    subject: Checkpoint | Schema,
    model: Schema | None,
    rules: Iterable[LintRule],
    options: LintOptions = LintOptions(),
    values: Measured | None = None,
) -> Report:
    """Judge a file's section, or any schema in its place, against a model, or (None) alone; `values` are the section's, if looked at.

    Raises `UsageError` for a section or code that there is not, `DocumentError` for a rule that is wrong in itself.
    """
    chosen = running(rules, options.selection)
    scope = _Scope.of(options, model)
    seen = replace(_comparison(subject, model, options.section), values=values)
    first = seen
    judged: list[tuple[Running, list[Finding]]] = []
    ignored = 0
    converted: set[str] = set()  # keys that torch fills itself from another form of them
    for each in chosen:
        if not each.check.applies(seen):
            continue
        facts = list(each.check.facts(seen, each.options))
        kept = [fact for fact in facts if scope.covers(fact, first)] if scope.partial else facts
        accepted = [] if each.ignored else scope.accepted(each.rule, kept)
        ignored += len(kept) - len(accepted)
        judged.append((each, list(_findings(each, accepted, options.name or seen.file.origin, seen))))
        converted.update(_converted(each, facts))
        seen = seen.without([fact for fact in facts if isinstance(fact, Explained)])
    coverage = _coverage(seen, scope, converted) if model is not None else None
    first_line = headline(judged, coverage, seen)
    return Report(
        options.name or seen.file.origin,
        seen.section.path if seen.section else "",
        _in_reading_order(judged),
        coverage,
        str(first_line),
        ignored,
        len(seen.file.tensors),
        first_line.cause,
        ran=_asked(judged) if scope.accepts else (),
        used=tuple(dict.fromkeys(scope.used)),
    )


def _asked(judged: Iterable[tuple[Running, list[Finding]]]) -> tuple[str, ...]:
    return tuple(each.rule.id for each, _ in judged if not each.ignored)


def _converted(each: Running, facts: Iterable[Fact]) -> Iterator[str]:
    """The keys of the model that a strict load fills from another form of them, as a rule that only informs says."""
    if each.rule.severity is Severity.INFO:
        for fact in facts:
            yield from fact.missing if isinstance(fact, Explained) and fact.unexpected else ()


def _comparison(subject: Checkpoint | Schema, model: Schema | None, named: str) -> Comparison:
    if isinstance(subject, Schema):
        if named:
            raise UsageError("a schema has no sections", where=subject.origin, hint="leave --section out")
        return Comparison.of(subject, model)
    section = choose_section(subject, model, named)
    schema = section.schema(subject.origin) if section else Schema({}, origin=subject.origin)
    return Comparison.of(schema, model, checkpoint=subject, section=section, named=bool(named))


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the user wants to hear of: a part of the model, and not what the project lives with."""

    only: tuple[Selector, ...]
    allowed: tuple[Selector, ...]
    ignores: tuple[tuple[str, str, Selector | None], ...]
    at_lines: Mapping[str, Collection[str]] | None
    used: list[tuple[str, str]] = field(default_factory=list)  # grows: the ignores that accepted something

    @classmethod
    def of(cls, options: LintOptions, model: Schema | None) -> _Scope:
        only, allowed = (tuple(map(Selector.parse, texts)) for texts in (options.only, options.allow_missing))
        for selector in only if model is not None else ():
            if not any(map(selector.matches, model.tensors if model else ())):
                raise UsageError(f"--only {selector} selects no key of the model")
        for ignore in options.selection.ignores:
            if not ignore.reason.strip():
                raise UsageError(f"the ignore of {ignore.rule} has no reason", hint="say why in `reason`")
        ignores = (
            (each.rule, each.keys, Selector.parse(each.keys) if each.keys else None)
            for each in options.selection.ignores
        )
        return cls(only, allowed, tuple(ignores), options.accepted)

    @property
    def partial(self) -> bool:
        """Whether there are keys that the user does not ask about."""
        return bool(self.only or self.allowed)

    @property
    def accepts(self) -> bool:
        """Whether the project accepts anything, or was asked."""
        return bool(self.ignores) or self.at_lines is not None

    def includes(self, key: str) -> bool:
        return not self.only or any(selector.matches(key) for selector in self.only)

    def covers(self, fact: Fact, first: Comparison) -> bool:
        """Whether a fact is about keys that were asked for, and not about one that may be missing."""
        if fact.key == "":
            return True
        names = fact.names if isinstance(fact, Explained) else (fact.key,)
        if self.only and not any(map(self.includes, names)):
            return False
        absent = fact.key in first.missing and not (isinstance(fact, Explained) and fact.pair)
        return not (absent and any(selector.matches(fact.key) for selector in self.allowed))

    def accepted(self, rule: LintRule, facts: Sequence[Fact]) -> list[Fact]:
        """Return the facts that no ignore of the project is about."""
        here = self.at_lines.get(rule.id, ()) if self.at_lines else ()
        gone = {n for n, fact in enumerate(facts) if fact.key in here} if here else set()
        for code, keys, selector in self.ignores if facts else ():
            if closeness(rule, (code,)):
                meant = [n for n, fact in enumerate(facts) if selector is None or selector.matches(fact.key)]
                self.used.extend([(code, keys)] if meant else ())
                gone.update(meant)
        return [fact for n, fact in enumerate(facts) if n not in gone] if gone else list(facts)


def _findings(each: Running, facts: Sequence[Fact], checkpoint: str, seen: Comparison) -> Iterable[Finding]:
    if not facts:
        return
    groups: dict[tuple[tuple[str, str], ...], tuple[Mapping[str, str], list[str]]] = {}
    for fact in facts:
        groups.setdefault(tuple(fact.words.items()), (fact.words, []))[1].append(fact.key)
    rule = each.rule
    ident, slug, message, hint = rule.id, rule.slug, _Text.of(rule, rule.message), _Text.of(rule, rule.hint)
    folded = [
        (words, patterns, members)
        for words, keys in groups.values()
        for patterns, members in _patterns(keys, seen, together=each.check.together)
    ]
    if len(groups) > 1:  # as the model has its keys, not shape by shape
        place = {key: number for number, key in enumerate((*seen.wanted, *seen.file.tensors))}
        folded.sort(key=lambda one: min((place.get(key, -1) for key in one[2]), default=-1))
    section = seen.section.path if seen.section else ""
    for words, patterns, members in folded:
        full = {"pattern": _shown(patterns), "count": str(len(members)), **words}
        yield Finding(
            ident,
            slug,
            each.severity,
            message.filled(full),
            members,
            patterns[0] if len(patterns) == 1 else ", ".join(patterns),
            words,
            hint.filled(full),
            checkpoint,
            words.get("section", section),
        )


def _patterns(
    keys: Sequence[str], seen: Comparison, *, together: bool
) -> Iterable[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Fold keys; `together` leaves them one group of several patterns. Facts about the whole have no key."""
    if len(keys) == 1 and keys[0]:  # as most are where every tensor differs in its own way
        return [((escaped(keys[0]),), (keys[0],))]
    distinct = tuple(key for key in dict.fromkeys(keys) if key)
    if not distinct:
        return [((), ())]
    families = fold(distinct)
    if not together:
        return [((family.pattern,), family.keys) for family in families]
    everything = _everything(distinct, seen) if len(families) > 1 else ""
    return [((everything,) if everything else tuple(family.pattern for family in families), distinct)]


def _everything(keys: Sequence[str], seen: Comparison) -> str:
    """Return `module.**` where that selects these keys and no other one on either side, else nothing."""
    first, last = min(keys).split("."), max(keys).split(".")
    shared = next((i for i, both in enumerate(zip(first, last, strict=False)) if both[0] != both[1]), 0)
    start = "".join(f"{part}." for part in first[:shared])
    chosen = frozenset(keys)
    others = (key for side in (seen.file.tensors, seen.wanted) for key in side if key not in chosen)
    if any(key.startswith(start) for key in others) or escaped(start) != start:
        return ""
    return f"{start}**"


def _shown(patterns: Sequence[str]) -> str:
    """Name the patterns in a message, of many the first."""
    if len(patterns) == 1:
        return _cut(patterns[0])
    if len(patterns) <= _NAMED:
        return ", ".join(map(_cut, patterns))
    return f"{', '.join(map(_cut, patterns[: _NAMED - 1]))} and {len(patterns) - _NAMED + 1} more patterns"


def _cut(pattern: str) -> str:
    return pattern if len(pattern) <= _LONGEST else f"{pattern[:_LONGEST]} ..."


@dataclass(frozen=True, slots=True)
class _Text:
    """A rule's message or hint, read once: text as it stands, and between two pieces of it a word to fill in.

    `{{` and `}}` stand for braces.
    """

    slug: str
    pieces: tuple[str, ...]  # text, word, text, word ... text

    @classmethod
    def of(cls, rule: LintRule, text: str) -> _Text:
        pieces, end = [""], 0
        for found in _PLACEHOLDER.finditer(text):
            pieces[-1] += text[end : found.start()]
            end = found.end()
            if found[1] is None:
                pieces[-1] += found[0][0]
            else:
                pieces += [found[1], ""]
        pieces[-1] += text[end:]
        return cls(rule.slug, tuple(pieces))

    def filled(self, words: Mapping[str, str]) -> str:
        if len(self.pieces) == 1:
            return self.pieces[0]
        pieces = [*self.pieces]
        try:
            pieces[1::2] = map(words.__getitem__, self.pieces[1::2])
        except KeyError as error:
            raise DocumentError(
                f"the text of {self.slug} names {{{error.args[0]}}}, which its check does not say",
                hint=f"there are {', '.join(words)}",
            ) from None
        return "".join(pieces)


def _in_reading_order(judged: Sequence[tuple[Running, list[Finding]]]) -> tuple[Finding, ...]:
    """The worst first, then what explains most, then as the checks saw them."""
    found = [finding for _, findings in judged for finding in findings]
    return tuple(sorted(found, key=lambda finding: -finding.severity.rank))


def _coverage(seen: Comparison, scope: _Scope, converted: Collection[str]) -> Coverage:
    """Count what of the model the checkpoint fills, `converted` keys too; each tied tensor's elements count once."""
    model = seen.model or Schema({})
    leader = {key: group[0] for group in model.ties for key in group}
    fitting = [key for key, pair in seen.pairs.items() if pair.actual.shape == pair.expected.shape]
    fitting += [key for key in model.tensors if key in converted] if converted else []
    wanted = [key for key in fitting if scope.includes(key)] if scope.only else fitting
    filled = {leader.get(key, key): None for key in wanted}
    return Coverage(
        len(wanted),
        len(model.tensors),
        sum(model.tensors[key].numel for key in filled),
        model.numel,
    )
