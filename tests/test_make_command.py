"""`ckptlint make`: what is certain is written and proved, all else is asked and never guessed."""

import json

import pytest

from ckptlint.cli import main

BLOCKS = {f"layers.{i}.mlp.{part}.weight": [8, 4 * 2 + at] for i in range(3) for at, part in enumerate(("up", "down"))}


@pytest.fixture
def make(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(old, new, answers=None, *more, code=0):
        for name, value in (("old.json", old), ("new.json", new), ("answers.json", answers)):
            (tmp_path / name).write_text(json.dumps(value))
        given = ["--answers", "answers.json"] if answers is not None else []
        got = main(["make", "old.json", "new.json", "--chain", "chain", "--format", "json", *given, *more])
        said = capsys.readouterr()
        assert got == code, said.out + said.err
        return json.loads(said.out) if got in (0, 5) else said.out + said.err

    return run


def abouts(said):
    return {(each["kind"], each["about"]) for each in said["questions"]}


def test_a_renamed_module_is_written_without_a_question_and_proves(make, tmp_path, capsys):
    new = {key.replace(".mlp.", ".ffn."): shape for key, shape in BLOCKS.items()}
    made = make(BLOCKS, new)
    assert made["revision"].startswith("0001-")
    assert sorted(path.name for path in (tmp_path / "chain").iterdir()) == ["0001_rename_ffn.yaml", "chain.sum"]
    assert main(["prove", made["file"], "--source", "old.json", "--target", "new.json"]) == 0
    capsys.readouterr()
    new2 = {key.replace("layers.", "blocks."): shape for key, shape in new.items()}
    second = make(new, new2)
    assert second["parent"] == made["revision"]
    assert second["from"] == made["to"]


def test_what_is_equal_needs_no_migration(make, tmp_path):
    assert make(BLOCKS, BLOCKS)["file"] is None
    assert not (tmp_path / "chain").exists()


def test_modules_that_could_be_exchanged_are_asked_about_without_a_default(make, tmp_path):
    old = {"e.weight": [50, 8], "a.self_attn.weight": [8, 8], "a.cross_attn.weight": [8, 8]}
    new = {"e.weight": [50, 8], "a.attn1.weight": [8, 8], "a.attn2.weight": [8, 8]}
    said = make(old, new, code=5)
    about = {each["about"].removesuffix(".weight") for each in said["questions"] if each["kind"] == "rename"}
    assert about == {"a.self_attn", "a.cross_attn"}
    assert not (tmp_path / "chain").exists()
    make(old, new, {"rename": {"a.self_attn": "a.attn2", "a.cross_attn": "a.attn1"}})
    text = next((tmp_path / "chain").glob("*.yaml")).read_text()
    assert "a.self_attn.weight: a.attn2.weight" in text


def test_names_that_look_right_are_still_asked_where_shapes_could_be_exchanged(make):
    old = {f"layers.{i}.attn.{part}.weight": [8, 8] for i in range(3) for part in "qk"}
    new = {f"layers.{i}.attn.{part}.weight": [8, 8] for i in range(3) for part in ("query", "key")}
    said = make(old, new, code=5)
    assert said["questions"]
    answers = {"rename": {"layers.*.attn.q": "layers.*.attn.query", "layers.*.attn.k": "layers.*.attn.key"}}
    assert make(old, new, answers)["revision"].startswith("0001-")


def test_what_a_new_tensor_usually_starts_at_is_the_first_choice_but_no_default(make):
    said = make(BLOCKS, {**BLOCKS, "norm.weight": [7], "norm.bias": [7]}, code=5)
    first = {each["about"]: each["choices"][0] for each in said["questions"]}
    assert {about: each["answer"] for about, each in first.items()} == {"norm.weight": "ones", "norm.bias": "zeros"}
    assert all(each["evidence"] for each in first.values())


def test_drops_are_never_unasked_and_give_their_reason(make, tmp_path):
    old = {**BLOCKS, "teacher.weight": [3, 3], "teacher.bias": [3]}
    said = make(old, BLOCKS, code=5)
    assert abouts(said) == {("drop", "teacher.weight"), ("drop", "teacher.bias")}
    make(old, BLOCKS, {"drop": {"teacher": "for training alone"}})
    text = next((tmp_path / "chain").glob("*.yaml")).read_text()
    assert '      reason: "for training alone"' in text


def test_new_tensors_and_resized_heads_are_asked(make, tmp_path):
    old, new = {**BLOCKS, "head.weight": [10, 8]}, {**BLOCKS, "head.weight": [20, 8], "head.bias": [20]}
    said = make(old, new, code=5)
    assert {about for _, about in abouts(said)} == {"head.weight", "head.bias"}
    answers = {"drop": {"head.weight": "other classes"}, "new": {"head": "zeros"}}
    make(old, new, answers)
    text = next((tmp_path / "chain").glob("*.yaml")).read_text()
    assert text.count("fill: zeros") == 2


def test_tensors_that_may_be_joined_are_asked(make):
    old = {f"h.{i}.attn.{part}.weight": [8, 8] for i in range(2) for part in "qkv"} | {"wte.weight": [50, 8]}
    new = {f"h.{i}.attn.qkv.weight": [24, 8] for i in range(2)} | {"wte.weight": [50, 8]}
    said = make(old, new, code=5)
    assert abouts(said) == {("join", "h.*.attn.qkv.weight")}
    assert make(old, new, {"accept": ["h.*.attn.qkv.weight"]})["revision"].startswith("0001-")


@pytest.mark.parametrize(
    "answers",
    [
        {"rename": {"nothing.here": "x"}},
        {"rename": {"layers.*.mlp": "layers.0.ffn"}},
        {"rename": {"layers.0.mlp": "layers.0.gone"}},
        {"drop": {"layers.0.mlp": " "}},
        {"new": {"layers.0.ffn": [1]}},
        {"more": {}},
    ],
)
def test_answers_that_fit_nothing_are_refused(make, tmp_path, answers):
    new = {key.replace(".mlp.", ".ffn."): shape for key, shape in BLOCKS.items()}
    make(BLOCKS, new, answers, code=2)
    assert not (tmp_path / "chain").exists()


def test_the_source_must_be_where_the_chain_ends(make):
    new = {key.replace(".mlp.", ".ffn."): shape for key, shape in BLOCKS.items()}
    make(BLOCKS, new)
    said = make(BLOCKS, {**new, "more": [1]}, code=2)
    assert "at the head of the chain makes k1:" in said


def test_places_that_were_exchanged_are_no_migration_and_are_told(make, tmp_path, capsys):
    old = {f"blocks.{i}.{name}.weight": [4] for i in range(2) for name in ("norm1", "norm2")}
    new = {f"blocks.{i}.{name}.weight": [4] for i in range(2) for name in ("norm2", "norm1")}
    assert make(old, new)["file"] is None
    assert not (tmp_path / "chain").exists()
    assert main(["make", "old.json", "new.json", "--chain", "chain"]) == 0
    assert "blocks.* registers norm2 before norm1 now" in capsys.readouterr().err
