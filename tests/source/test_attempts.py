"""Which device is tried when: a runner that answers from a list stands for the subprocess."""

import json

import pytest

from ckptlint.errors import ModelError, UsageError
from ckptlint.source.arguments import Arguments
from ckptlint.source.build import Attempts
from ckptlint.source.process import Workplace
from ckptlint.source.reference import ModelReference

BUILT = {
    "tensors": [],
    "parameters": [],
    "ties": [],
    "unsaved": [],
    "modules": [],
    "finished": False,
    "asked": [],
    "notes": [],
}


def built(*real):
    return {"schema": {**BUILT, "real": list(real)}}


def fault(kind, message="no"):
    return {"fault": {"message": message, "hint": "", "kind": kind}}


def attempts(*answers):
    """Attempts that get these answers, and the devices they ask for."""
    devices = []
    left = iter(answers)

    def run(request, workplace):
        devices.append(request.device)
        return json.dumps(next(left))

    return Attempts(ModelReference.parse("zoo:net"), Arguments(), Workplace(memory=2**20), 60.0, run=run), devices


def test_meta_is_enough_where_it_works():
    tries, devices = attempts(built())
    assert tries.first_that_works().notes == ()
    assert devices == ["meta"]


def test_the_cpu_is_tried_where_meta_may_be_to_blame():
    tries, devices = attempts(fault("device", "cannot read"), built(["w", "cpu", 4]))
    assert tries.first_that_works().notes == ("built on the CPU, for on meta cannot read",)
    assert devices == ["meta", "cpu"]


@pytest.mark.parametrize(("kind", "error"), [("model", ModelError), ("arguments", UsageError), ("memory", ModelError)])
def test_nothing_else_is_tried_twice(kind, error):
    tries, devices = attempts(fault(kind))
    with pytest.raises(error, match="no"):
        tries.first_that_works()
    assert devices == ["meta"]


def test_where_both_fail_the_cpu_tells_the_models_own_error():
    tries, _ = attempts(fault("device", "cannot read"), fault("device", "width 3 is odd"))
    with pytest.raises(ModelError) as caught:
        tries.first_that_works()
    assert str(caught.value) == "zoo:net: width 3 is odd"


def test_where_the_cpu_has_no_room_both_errors_are_told():
    tries, _ = attempts(fault("device", "cannot read"), fault("memory", "too large"))
    with pytest.raises(ModelError) as caught:
        tries.first_that_works()
    assert str(caught.value) == "zoo:net: too large; on meta, cannot read\n  hint: it may use 1 MiB"


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_named_device_is_the_only_one(device):
    tries, devices = attempts(fault("device"))
    with pytest.raises(ModelError):
        tries.only(device)
    assert devices == [device]


def test_many_stray_tensors_are_told_in_short():
    tries, _ = attempts(built(*(["w" + str(n), "cpu", 1000] for n in range(9))))
    with pytest.raises(ModelError, match="'w2' is on cpu and 6 more \\(9,000 bytes\\)"):
        tries.only("meta")
