"""Each thing that `prove` finds is found where it is planted, and not found beside it; nothing but headers is looked at."""

import json
from pathlib import Path

import pytest
import yaml

from ckptlint.commands.prove import Request, prove_all
from ckptlint.core.schema import Schema
from ckptlint.documents.migrations import read_migration
from ckptlint.engine.exchange import Order
from ckptlint.engine.faults import KINDS
from ckptlint.engine.prove import Again, prove, prove_chain

CASES = yaml.safe_load((Path(__file__).parent / "planted.yaml").read_text(encoding="utf-8"))
ELSEWHERE = {
    "CKM120",
    "CKM123",
    "CKM134",
}  # of the way back (test_infer_source), of two migrations (below), of chains (test_chain)
TOP = ("params", "prefix", "when", "rewrites", "rest", "cases")


def found(case, folder):
    """The codes of all findings."""
    schema = Schema.of(
        *(f"{key}: {spec}" for key, spec in case["source"].items()), ties=tuple(map(tuple, case.get("ties", ())))
    )
    body = {"ckptlint": 1, **{name: case[name] for name in TOP if name in case}}
    if "tree" in case:
        return of_tree(case, body, folder)
    wanted = case.get("target")
    target = None if wanted is None else Schema.of(*(f"{key}: {spec}" for key, spec in wanted.items()))
    return {each.rule for each in prove(read_migration(json.dumps(body), "m.yaml"), schema, target).findings}


def of_tree(case, body, folder):
    """The same for a whole file, since what is beside the weights counts."""
    torch = pytest.importorskip("torch")
    shapes = {key: spec.partition("[")[2][:-1] for key, spec in case["source"].items()}
    weights = {key: torch.zeros([int(size) for size in shape.split(",")]) for key, shape in shapes.items()}
    torch.save({"model": weights, **case["tree"]}, folder / "old.pt")
    body = {**body, "tree": case["tree_steps"]}
    (folder / "m.yaml").write_text(json.dumps(body), encoding="utf-8")
    proved = prove_all(Request([str(folder / "m.yaml")], str(folder / "old.pt")))
    return {each.rule for _, proof in proved for each in proof.findings}


@pytest.mark.parametrize(
    ("code", "case"),
    [(code, case) for code, kinds in CASES.items() for case in kinds["fires"]],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_planted_is_found(code, case, tmp_path):
    assert code in found(case, tmp_path)


@pytest.mark.parametrize(
    ("code", "case"),
    [(code, case) for code, kinds in CASES.items() for case in kinds["quiet"]],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_near_it_is_not(code, case, tmp_path):
    assert code not in found(case, tmp_path)


def test_every_code_has_its_cases():
    proved = {code for code in KINDS if code.startswith("CKM")} - ELSEWHERE
    assert proved == set(CASES)
    assert all(kinds["fires"] and kinds["quiet"] for kinds in CASES.values())


def chain(*bodies, source=("a: f32[2]", "b: f32[2]")):
    """Proofs of migrations that follow each other, each given as rewrites."""
    texts = [json.dumps({"ckptlint": 1, "rewrites": body, "rest": "keep"}) for body in bodies]
    return prove_chain(
        [read_migration(text, f"{number}.yaml") for number, text in enumerate(texts)], Schema.of(*source)
    )


def test_migrations_that_may_change_places():
    proofs = chain([{"rename": {"a": "c"}}], [{"rename": {"b": "d"}}])
    assert [proof.swapped for proof in proofs] == [None, Order.EITHER]
    assert proofs[1].again is Again.REFUSED


def test_a_migration_that_needs_the_one_before_it():
    assert chain([{"rename": {"a": "c"}}], [{"rename": {"c": "d"}}])[1].swapped is Order.REFUSED


def test_an_order_that_matters_unseen_is_told():
    pad, scale = (
        {"from": "a", "to": "a", "ops": [op]} for op in ({"pad": {"dim": 0, "after": 1}}, {"affine": {"shift": 1.0}})
    )
    proof = chain([pad], [scale])[1]
    assert proof.swapped is Order.MATTERS
    assert [each.rule for each in proof.findings if each.rule == "CKM123"] == ["CKM123"]
    assert not proof.failed
    turn = {"from": "a", "to": "a", "ops": [{"affine": {"scale": 2.0}}]}
    assert chain([turn], [turn])[1].swapped is Order.EITHER  # the same twice
