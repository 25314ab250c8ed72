"""A short deterministic fuzz of every target, and what long runs have found."""

import pytest
from fuzz.run import fuzz
from fuzz.targets import TARGETS

from ckptlint import formats

SHORT = 400  # executions of each target; a fuzz that finds nothing here is run for millions by hand


@pytest.mark.parametrize("name", TARGETS)
def test_mutants_are_taken_or_refused_and_nothing_else(name):
    done, outcomes = fuzz(TARGETS[name], SHORT, seed=1)
    assert done == SHORT
    assert (
        len(outcomes) > 1 or name == "scan"
    )  # which takes everything; elsewhere some are taken, some refused: the mutants reach the reader


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_read(name):
    assert any(TARGETS[name].accepts(seed) for seed in TARGETS[name].seeds())


def test_every_reader_is_fuzzed():
    assert formats.READERS.keys() | formats.FOLDERS.keys() <= TARGETS.keys()
