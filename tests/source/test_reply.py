import json

import pytest

from ckptlint.core.dtype import ANY
from ckptlint.core.schema import Schema
from ckptlint.errors import ModelError
from ckptlint.source.reply import Built, Failure, RealTensor, read_reply

SCHEMA = {
    "tensors": [["emb.weight", "float32", [4, 2]], ["head.weight", "float32", [4, 2]]],
    "parameters": ["emb.weight"],
    "ties": [["emb.weight", "head.weight"]],
    "unsaved": [["mask", "bool", [2]]],
    "modules": [["", "m.Net"]],
    "real": [["mask", "cpu", 2]],
    "finished": False,
    "asked": ["cuda"],
    "notes": [],
}


def answer(**changes):
    return json.dumps({"schema": {**SCHEMA, **changes}})


def test_a_schema_is_read_whole():
    assert read_reply(answer(), "m:Net") == Built(
        Schema.of(
            "emb.weight: f32[4,2]",
            "head.weight: f32[4,2]",
            parameters=("emb.weight",),
            ties=(("emb.weight", "head.weight"),),
            unsaved=Schema.of("mask: bool[2]").tensors,
            modules={"": "m.Net"},
            origin="m:Net",
        ),
        real=(RealTensor("mask", "cpu", 2),),
        finished=False,
        asked=("cuda",),
        notes=(),
    )


def test_a_fault_is_read():
    text = json.dumps({"fault": {"message": "no", "hint": "yes", "kind": "device"}})
    assert read_reply(text, "m:Net") == Failure("no", "yes", "device")


def test_a_dtype_that_is_not_known_is_any_and_noted():
    built = read_reply(answer(tensors=[["w", "uint3", [2]]], parameters=[], ties=[]), "m:Net")
    assert isinstance(built, Built)
    assert built.schema.tensors["w"].dtype is ANY
    assert built.notes == ("'w' has the dtype 'uint3', which ckptlint does not know",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "{}",
        "[" * 100_000,
        json.dumps({"fault": {"message": 1, "hint": "", "kind": ""}}),
        answer(tensors=[["w", "float32", [-1]]]),
        answer(tensors=[["w", "float32", [True]]]),
        answer(tensors=[["w", "float32"]]),
        answer(tensors={}),
        answer(parameters=["nowhere"]),
        answer(ties=[["emb.weight", "nowhere"]]),
        answer(finished=0),
        answer(real=[["w", "cpu", -3]]),
        answer(modules=[["", None]]),
    ],
)
def test_whatever_else_stands_there_is_refused(text):
    with pytest.raises(ModelError, match="malformed"):
        read_reply(text, "m:Net")
