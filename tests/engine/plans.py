"""Plans from YAML and literal schemas, and a runner that keeps all values in memory."""

import numpy as np

from ckptlint.core.schema import Schema
from ckptlint.documents.migrations import read_migration
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.planner import make_plan
from ckptlint.kits.numpy_kit import Array, NumpyKit

KIT = NumpyKit()


def migration(body):
    return read_migration("ckptlint: 1\n" + body, "m.yaml")


def plan_of(schema, body, tree=None, **params):
    return make_plan(schema, migration(body), HeaderFacts((tree or {}).get, params))


def ranged(schema):
    """A tensor for each key, every element of the file another number; the names of one tensor share it."""
    tensors, start = {}, 0
    tied = {key: group[0] for group in schema.ties for key in group}
    for key, spec in schema.tensors.items():
        first = tied.get(key, key)
        if first not in tensors:
            codes = np.arange(start, start + spec.numel).reshape(spec.shape).astype(f"u{max(spec.dtype.bits // 8, 1)}")
            tensors[first], start = Array(codes, spec.dtype), start + spec.numel
        tensors[key] = tensors[first]
    return {key: tensors[key] for key in schema.tensors}


def run(plan, tensors):
    """Carry a plan out; tensors in and out by key. Values that must be equal are compared."""
    values = {plan.inputs[key]: tensor for key, tensor in tensors.items()}
    for step in plan.steps:
        made = step.op.apply(KIT, tuple(values[number] for number in step.inputs))
        values.update(zip(step.outputs, made, strict=True))
    for one, other in plan.must_equal:
        assert np.array_equal(values[one].codes, values[other].codes)
    for number, value in values.items():
        assert value.spec == plan.specs[number]
    return {key: values[number] for key, number in plan.outputs.items()}


def same(one, other):
    """Equal names, in order, and equal tensors."""
    return list(one) == list(other) and all(
        one[key].dtype is other[key].dtype and np.array_equal(one[key].codes, other[key].codes) for key in one
    )


def spec_lines(schema):
    return list(schema.lines())


def schema_of(text, **more):
    """Read `"a: f32[1]; b: f32[2]"`."""
    return Schema.of(*(line for line in text.split(";") if line.strip()), **more)
