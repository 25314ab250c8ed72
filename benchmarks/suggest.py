"""Score `ckptlint suggest` on layouts whose mapping is known, beside two simple methods.

    python benchmarks/suggest.py [FOLDER] [--only NAME] [--shipped] [--unrelated PAIRS] [--verbose]

FOLDER holds layouts (default: ../shared/corpora/layouts beside the repo). The synonyms for each family are learned from all others,
so every figure is one on families that the data does not know (`--shipped` uses the shipped data, of all families, instead).
`--unrelated` also takes so many pairs of layouts of different families, and counts what is matched between them.
Order is not used where the mapping was found by order (`forward-aligned`). Edges of the truth whose keys are not in the schemas are not
scored.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from learn_names import learned, patterns, read

from ckptlint.core.dtype import ANY
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.evidence import shipped_synonyms, synonyms
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.suggested import migration_yaml
from ckptlint.engine.prove import prove
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.rewriting import rewritten
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest
from ckptlint.engine.suggest.suggestion import Edge, Suggestion

FOLDER = Path(__file__).parent.parent.parent / "shared" / "corpora" / "layouts"
MOST_REWRITES = 3  # for each of the truth, folded by patterns
MOST_UNRELATED = 1500  # keys
Layout = dict[str, Any]


@dataclass
class Score:
    """Target keys that are right, wrong and left open, by kind: renamed, kept, joined (fused, split, stacked), new."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    patterns: Counter[tuple[str, str]] = field(default_factory=Counter)
    mistakes: list[str] = field(default_factory=list)

    def add(self, other: Score) -> None:
        self.counts.update(other.counts)
        self.patterns.update(other.patterns)
        self.mistakes += other.mistakes

    def share(self, kind: str, verdict: str) -> float:
        total = sum(count for (each, _), count in self.counts.items() if each == kind)
        return 100 * self.counts[kind, verdict] / total if total else 100.0

    @property
    def solved(self) -> bool:
        return all(verdict == "right" for _, verdict in self.counts)


@dataclass
class Run:
    """One layout: its score, whether the migration was proved, how many rewrites it has, and what each confidence was worth."""

    name: str
    family: str
    score: Score
    proved: bool
    seconds: float
    edges: list[tuple[float, bool]]
    rewrites: int
    hand: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--only", default="")
    parser.add_argument("--shipped", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--unrelated", type=int, default=0, metavar="PAIRS")
    given = parser.parse_args()
    layouts = list(read(given.folder))
    known = Known(layouts, shipped=given.shipped)
    runs = []
    for layout in layouts:
        if given.only in layout["name"]:
            runs.append(run(layout, known.synonyms(layout["family"])))
            _print_run(runs[-1], verbose=given.verbose or bool(given.only))
    print_summary(runs)
    if given.unrelated:
        print_unrelated(layouts, given.unrelated)
    for name, method in (("longest suffix", longest_suffix), ("zip in order", zip_in_order)):
        total = Score()
        for layout in layouts:
            if given.only in layout["name"]:
                total.add(judge(layout, method(layout)))
        _print_score(name, total)
    return 0


class Known:
    """The synonyms for each family, learned from all other families."""

    def __init__(self, layouts: list[Layout], *, shipped: bool = False) -> None:
        self._layouts = [(layout["family"], list(dict.fromkeys(patterns(layout)))) for layout in layouts]
        self._learned: dict[str, Synonyms] = {}
        self._shipped = shipped_synonyms() if shipped else None

    def synonyms(self, family: str) -> Synonyms:
        if self._shipped is not None:
            return self._shipped
        if family not in self._learned:
            others = [(each, pairs) for each, pairs in self._layouts if each != family]
            self._learned[family] = synonyms(learned(others))
        return self._learned[family]


def run(layout: Layout, known: Synonyms) -> Run:
    old, new = schema(layout["source"]), schema(layout["target"])
    start = time.process_time()
    found = suggest(old, new, known, SuggestOptions(use_order=layout["trust"] != "forward-aligned"))
    seconds = time.process_time() - start
    score = judge(layout, [*found.edges(), *said_new(found)])
    proved = (found.complete or only_new(found)) and proves(found, old, new)
    rewrites, hand = rewrites_of(found), hand_written(layout)
    return Run(
        layout["name"], layout["family"], score, proved, seconds, list(calibration(layout, found)), rewrites, hand
    )


def rewrites_of(found: Suggestion) -> int:
    """How many patterns the suggested migration has."""
    written = rewritten(found)
    return len(written.renamed) + len(written.kept) + len(written.moved) + len(written.dropped)


def hand_written(layout: Layout) -> int:
    """How many patterns the truth has, with all numbers folded."""
    moved = (edge for edge in scored(layout) if edge["sources"] != edge["targets"])
    return len(
        {
            (*sorted({folded(key) for key in edge["sources"]}), "->", *sorted({folded(key) for key in edge["targets"]}))
            for edge in moved
        }
    )


def said_new(found: Suggestion) -> Iterator[Edge]:
    """What is said to have no source, as edges; its values are left to the user, so that no edge is made."""
    return (Edge((), (key,), ("new",), 0.0) for family in found.unsourced for key in family.keys)


def only_new(found: Suggestion) -> bool:
    return not found.open_sources and len(found.open_targets) == len(found.unsourced)


def proves(found: Suggestion, old: Schema, new: Schema) -> bool:
    """Whether the migration proves, with what it proposes for tensors without a source."""
    text = migration_yaml(found, old, new).replace("\n#   - new:", "\n  - new:")
    return not prove(read_migration(text, "suggested.yaml"), old, new).failed


def schema(keys: dict[str, list[int]]) -> Schema:
    return Schema({key: TensorSpec(ANY, tuple(shape)) for key, shape in keys.items()})


def judge(layout: Layout, edges: Iterable[Edge]) -> Score:
    """Compare edges with the truth, target by target."""
    made = {target: set(edge.sources) for edge in edges for target in edge.targets}
    score, seen = Score(), set[tuple[str, str, str]]()
    for edge in scored(layout):
        kind = kind_of(edge)
        for target in edge["targets"]:
            sources = made.get(target)
            verdict = "open" if sources is None else "right" if sources == set(edge["sources"]) else "wrong"
            score.counts[kind, verdict] += 1
            pattern = (kind, verdict, folded(target))
            if pattern not in seen:
                seen.add(pattern)
                score.patterns[kind, verdict] += 1
                if verdict != "right":
                    score.mistakes.append(
                        f"{verdict} {kind}: {edge['sources'][:2]} -> {target}, not {sorted(sources or ())[:2]}"
                    )
    return score


def scored(layout: Layout) -> Iterator[Layout]:
    for edge in layout["truth"]:
        known = all(key in layout["source"] for key in edge["sources"])
        if known and all(key in layout["target"] for key in edge["targets"]):
            yield edge


def kind_of(edge: Layout) -> str:
    if not edge["sources"]:
        return "new"
    if len(edge["sources"]) > 1 or len(edge["targets"]) > 1 or edge["ops"] == ["Chunk"]:
        return "joined"
    return "kept" if edge["sources"] == edge["targets"] else "renamed"


def folded(key: str) -> str:
    return ".".join("#" if part.isdigit() else part for part in key.split("."))


def calibration(layout: Layout, found: Suggestion) -> Iterator[tuple[float, bool]]:
    """The confidence of each match, and whether it was right for the first of its keys that the truth knows."""
    truth = {target: set(edge["sources"]) for edge in scored(layout) for target in edge["targets"]}
    for match in found.matches:
        for edge in match.edges():
            known = [target for target in edge.targets if target in truth]
            if known:
                yield match.confidence, truth[known[0]] == set(edge.sources)
                break


def longest_suffix(layout: Layout) -> Iterator[Edge]:
    """Each target from the source of the same shape that shares most of its end; the first where several do."""
    by_shape: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for key, shape in layout["source"].items():
        by_shape[tuple(shape)].append(key)
    suffixes: dict[tuple[tuple[int, ...], str], str] = {}
    for shape, keys in by_shape.items():
        for key in keys:
            parts = key.split(".")
            for start in range(len(parts)):
                suffixes.setdefault((shape, ".".join(parts[start:])), key)
    for target, shape in layout["target"].items():
        parts = target.split(".")
        best = next(
            (
                suffixes.get((tuple(shape), ".".join(parts[start:])))
                for start in range(len(parts))
                if (tuple(shape), ".".join(parts[start:])) in suffixes
            ),
            None,
        )
        if best is not None:
            yield Edge((best,), (target,), (), 1.0)


def zip_in_order(layout: Layout) -> Iterator[Edge]:
    """The n-th source of a shape is the n-th target of that shape."""
    by_shape: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for key, shape in layout["source"].items():
        by_shape[tuple(shape)].append(key)
    used: Counter[tuple[int, ...]] = Counter()
    for target, listed in layout["target"].items():
        shape = tuple(listed)
        if used[shape] < len(by_shape[shape]):
            yield Edge((by_shape[shape][used[shape]],), (target,), (), 1.0)
            used[shape] += 1


def _print_run(found: Run, *, verbose: bool) -> None:
    verdicts = Counter(verdict for (_, verdict), count in found.score.counts.items() for _ in range(count))
    print(f"{found.name:60} {dict(verdicts)} {'proved' if found.proved else 'not proved'} {found.seconds:.2f} s")
    if verbose or verdicts["wrong"]:
        for mistake in found.score.mistakes:
            print("   ", mistake)


def print_summary(runs: list[Run]) -> None:
    total = Score()
    for each in runs:
        total.add(each.score)
    _print_score("suggest", total)
    by_family: dict[str, Score] = defaultdict(Score)
    for each in runs:
        by_family[each.family].add(each.score)
    shares = sorted((score.share("renamed", "right"), family) for family, score in by_family.items())
    below = [f"{family} {share:.1f} %" for share, family in shares if share < 98]
    print(f"  families: {len(shares)}, of which below 98 % of the renamed: {', '.join(below) or 'none'}")
    solved = sum(each.score.solved for each in runs)
    proved = sum(each.score.solved and each.proved for each in runs)
    print(
        f"layouts: {len(runs)}, fully solved {solved}, and proved {proved} ({100 * proved / max(len(runs), 1):.1f} %)"
    )
    many = [each.name for each in runs if each.score.solved and each.rewrites > MOST_REWRITES * max(each.hand, 1)]
    ratios = sorted(each.rewrites / max(each.hand, 1) for each in runs if each.score.solved)
    if ratios:
        middle, most = ratios[len(ratios) // 2], ratios[-1]
        print(
            f"rewrites for each of the truth folded: median {middle:.2f}, most {most:.2f}; above {MOST_REWRITES}: {many}"
        )
    print(
        f"seconds of CPU: {sum(each.seconds for each in runs):.1f} in all, at most {max((each.seconds for each in runs), default=0):.1f}"
    )
    print("confidence: matches, of which right")
    table: dict[float, list[bool]] = defaultdict(list)
    for each in runs:
        for confidence, right in each.edges:
            table[confidence].append(right)
    for confidence, rights in sorted(table.items()):
        print(f"  {confidence:.2f}: {len(rights)}, {100 * sum(rights) / len(rights):.1f} %")


def print_unrelated(layouts: list[Layout], count: int) -> None:
    """Match sources with targets of other families; the same keys of the same shapes do not count."""
    random = Random(0)
    small = [layout for layout in layouts if max(len(layout["source"]), len(layout["target"])) < MOST_UNRELATED]
    shares: list[tuple[float, str]] = []
    made = every = 0
    while len(shares) < count:
        one, other = random.sample(small, 2)
        if one["family"] != other["family"]:
            found = suggest(schema(one["source"]), schema(other["target"]), shipped_synonyms(), SuggestOptions())
            here = sum(len(edge.targets) for edge in found.edges() if edge.sources and edge.sources != edge.targets)
            made, every = made + here, every + len(other["target"])
            shares.append((here / len(other["target"]), f"{one['name']} -> {other['name']}"))
    some = sorted((each for each in shares if each[0]), reverse=True)
    print(f"unrelated: {count} pairs, {100 * made / every:.1f} % of the keys matched, in {len(some)} pairs")
    for share, name in some:
        print(f"  {100 * share:.1f} % {name}")


def _print_score(name: str, score: Score) -> None:
    total = sum(score.counts.values())
    wrong = sum(count for (_, verdict), count in score.counts.items() if verdict == "wrong")
    shares = ", ".join(
        f"{kind} {score.share(kind, 'right'):.2f} % right" for kind in ("renamed", "kept", "joined", "new")
    )
    patterns = Counter(verdict for (_, verdict), count in score.patterns.items() for _ in range(count))
    print(f"{name}: {total} targets, {shares}, wrong {100 * wrong / max(total, 1):.3f} %; patterns {dict(patterns)}")


if __name__ == "__main__":
    raise SystemExit(main())
