"""Which state dict of a file is meant, and what lies beside it."""

from pathlib import Path

from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.dtype import DType
from ckptlint.core.finding import Report
from ckptlint.core.schema import Schema
from ckptlint.core.tree import Call, Dict, Global, List, Opaque, Storage, Tensor, Tuple
from ckptlint.documents.rules import read_folder
from ckptlint.engine.lint import lint

RULES = [file.rule for file in read_folder(Path(__file__).parent.parent.parent / "rules")]
F32 = DType.parse("f32")
MODEL = Schema.of("w: f32[4]")


def tensor() -> Tensor:
    return Tensor(Storage("0", F32, 4), F32, (4,), (1,))


def judged(**sections: Tensor) -> Report:
    made = {name: Dict([("w", tensor)]) for name, tensor in sections.items()}
    found = tuple(Section(f"/{name}", SectionKind.WEIGHTS, node, {"w": sections[name]}) for name, node in made.items())
    return lint(Checkpoint(Dict(list(made.items())), found, "torch-zip", "x.pt", ()), MODEL, RULES)


def rules(report: Report) -> list[str]:
    return [finding.slug for finding in report.findings]


def test_two_copies_are_ambiguous_and_the_first_is_judged():
    report = judged(last=tensor(), best=tensor())
    assert (report.section, rules(report)) == ("/last", ["ambiguous-section", "nested-section"])


def test_one_state_dict_in_two_places_is_not():
    shared = tensor()
    assert rules(judged(last=shared, best=shared)) == ["nested-section"]


def test_of_equal_names_the_shapes_decide():
    other = Tensor(Storage("1", F32, 1), F32, (1,), (1,))
    report = judged(discriminator=other, generator=tensor())
    assert (report.section, rules(report)) == ("/generator", ["nested-section"])


def test_the_way_to_the_weights_is_written_as_python_takes_it():
    weights = Dict([("w", tensor())])
    for root, path, index in [
        (List([Dict([("a/b", weights)])]), "/0/a~1b", "[0]['a/b']"),
        (Dict([("0", weights)]), "/0", "['0']"),
        (Dict([(0, weights)]), "/0", "[0]"),
    ]:
        section = Section(path, SectionKind.WEIGHTS, weights, {"w": tensor()})
        (finding,) = lint(Checkpoint(root, (section,), "torch-zip", "x.pt", ()), MODEL, RULES).findings
        assert finding.hint == f"load them with model.load_state_dict(torch.load(FILE){index})"


def test_a_file_without_weights_is_no_fault_where_no_model_is_given():
    empty = Checkpoint(Dict([("epoch", 3)]), (), "torch-zip", "x.pt", ())
    assert rules(lint(empty, None, RULES)) == []
    assert rules(lint(empty, MODEL, RULES)) == ["no-weights"]


def test_a_moment_of_a_parameter_that_does_not_fit_says_nothing_about_order():
    moment = Tensor(Storage("m", F32, 4), F32, (4,), (1,))
    optimizer = Dict(
        [
            ("state", Dict([(0, Dict([("exp_avg", moment)]))])),
            ("param_groups", List([Dict([("params", List([0]))])])),
        ]
    )
    weights = Dict([("w", tensor())])
    root = Dict([("model", weights), ("optimizer", optimizer)])
    found = (
        Section("/model", SectionKind.WEIGHTS, weights, {"w": tensor()}),
        Section("/optimizer", SectionKind.OPTIMIZER, optimizer, {}),
    )
    model = Schema(Schema.of("w: f32[5]").tensors, parameters=("w",))
    report = lint(Checkpoint(root, found, "torch-zip", "x.pt", ()), model, RULES)
    assert rules(report) == ["resized-first", "nested-section"]


def optimizer_report(groups: list[list[int]], *moments: int) -> list[str]:
    """What is said of an optimizer with these groups, whose states have moments of these lengths, beside `a: f32[4]` and `b: f32[8]`."""
    state = [
        (n, Dict([("exp_avg", Tensor(Storage(str(n), F32, size), F32, (size,), (1,)))]))
        for n, size in enumerate(moments)
    ]
    optimizer = Dict(
        [("state", Dict(state)), ("param_groups", List([Dict([("params", List(list(g)))]) for g in groups]))]
    )
    tensors = {name: Tensor(Storage(name, F32, size), F32, (size,), (1,)) for name, size in (("a", 4), ("b", 8))}
    weights = Dict(list(tensors.items()))
    found = (
        Section("/model", SectionKind.WEIGHTS, weights, dict(tensors)),
        Section("/optimizer", SectionKind.OPTIMIZER, optimizer, {}),
    )
    root = Dict([("model", weights), ("optimizer", optimizer)])
    model = Schema(Schema.of("a: f32[4]", "b: f32[8]").tensors, parameters=("a", "b"))
    return rules(lint(Checkpoint(root, found, "torch-zip", "x.pt", ()), model, RULES))


def test_groups_of_an_optimizer_have_an_order_of_their_own():
    assert "optimizer-order" in optimizer_report([[0, 1]], 8, 4)
    assert "optimizer-order" not in optimizer_report([[0], [1]], 8, 4)
    assert "optimizer-order" in optimizer_report([[0], [1]], 8, 5)


def test_what_a_file_without_weights_is_instead_is_said():
    one = tensor()
    for root, said in [
        (List([one, one]), "a list of 2 tensors without names"),
        (Dict([(0, one)]), "a dict of 1 tensors without names"),
        (Dict([("lr", 1), ("arch", "vit")]), "a dict of lr, arch"),
        (one, "one tensor, f32[4]"),
        (3, "an object of int"),
        (Opaque(Call(Global("pkg", "Model"), Tuple([]))), "an object of pkg.Model"),
    ]:
        (finding,) = lint(Checkpoint(root, (), "torch-zip", "x.pt", ()), MODEL, RULES).findings
        assert finding.message == f"there is no state dict in this file: it is {said}"
