"""Chains: their order, their faults, and where a checkpoint stands in one."""

import pytest

from ckptlint.core.chain import revision_id
from ckptlint.documents.migrations import read_migration
from ckptlint.engine.chain import link_up
from ckptlint.engine.faults import PlanFaults
from ckptlint.engine.standing import Evidence, locate
from ckptlint.errors import UsageError


def migration(name, parent="", *, body="rest: keep", **digests):
    places = ", ".join(f'{side}: "{digest}"' for side, digest in (("parent", parent), *digests.items()) if digest)
    chain = f"chain: {{{places}}}\n" if places else ""
    return read_migration(f"ckptlint: 1\nsummary: {name}\n{chain}{body}\n", f"{name}.yaml")


def chain_of(*bodies, digests=()):
    """Migrations that follow each other, and their ids."""
    made, revisions, parent = [], [], ""
    for number, body in enumerate(bodies, 1):
        more = digests[number - 1] if digests else {}
        made.append(migration(f"m{number}", parent, body=body, **more))
        parent = revision_id(number, parent, made[-1].body)
        revisions.append(parent)
    return made, revisions


STEPS = [f"when: {{tree: {{/v: {n}}}}}\ntree: [set: {{/v: {n + 1}}}]" for n in range(1, 4)]


def evidence(version=None, *, stamps=None, digests=()):
    def holds(migration):
        return migration.when.arguments[1] == version

    return Evidence(stamps or {}, digests, holds, lambda path: (version,) if path == "/v" else ())


def test_parents_give_the_order_whatever_that_of_the_files():
    made, revisions = chain_of(*STEPS)
    chain = link_up([made[2], made[0], made[1]])
    assert [link.revision for link in chain.links] == revisions
    assert [link.migration.summary for link in chain.links] == ["m1", "m2", "m3"]
    assert chain.between(1, 3) == chain.between(3, 1) == tuple(made[1:])


def test_an_id_is_of_what_the_file_says_and_follows():
    one = migration("a", body="rest: keep")
    same = migration("b", body="rest: keep  # a comment")
    other = migration("a", body="rest: error")
    assert revision_id(1, "", one.body) == revision_id(1, "", same.body) != revision_id(1, "", other.body)
    assert revision_id(2, "0001-000000", one.body) != revision_id(2, "0001-111111", one.body)


def test_what_is_no_chain_names_the_files():
    made, revisions = chain_of(*STEPS)
    fork = migration("fork", revisions[0], body="rest: keep")
    with pytest.raises(PlanFaults, match=r"m2\.yaml and fork\.yaml both follow 0001-"):
        link_up([*made, fork])
    with pytest.raises(PlanFaults, match=r"m1\.yaml and root\.yaml both begin the chain"):
        link_up([*made, migration("root", body="rest: keep")])
    with pytest.raises(PlanFaults, match="a file is missing"):
        link_up([made[0], made[2]])
    changed = migration("m2", revisions[0], body=STEPS[1] + "\nrest: keep")
    with pytest.raises(PlanFaults, match=r"m2\.yaml is 0002-\w+ now: it was changed since"):
        link_up([made[0], changed, made[2]])
    with pytest.raises(PlanFaults, match=r"says the same as m1\.yaml"):
        link_up([made[0], migration("again", body=STEPS[0])])


def test_a_place_is_named_in_many_ways():
    made, revisions = chain_of(*STEPS)
    chain = link_up(made)
    assert [chain.place(name) for name in ("base", "1", "0002", revisions[1], revisions[2][:8], "head")] == [
        0,
        1,
        2,
        2,
        3,
        3,
    ]
    assert [chain.name(place) for place in range(4)] == ["base", *revisions]
    for wrong in ("", "9", "000", "x"):
        with pytest.raises(UsageError, match="of the chain"):
            chain.place(wrong)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_conditions_tell_the_place_and_the_last_step_the_head(version):
    made, _ = chain_of(*STEPS)
    assert locate(link_up(made), evidence(version)).place == version - 1


def test_a_stamp_wins_over_digests_and_digests_over_conditions():
    digests = [{"from": "k1:aaaa", "to": "k1:bbbb"}, {"from": "k1:bbbb", "to": "k1:cccc"}, {}]
    made, revisions = chain_of(*STEPS, digests=digests)
    chain = link_up(made)
    assert locate(chain, evidence(1, digests=["k1:bbbb0123"])).place == 1
    assert locate(chain, evidence(1, digests=["k1:cccc0123"])).place == 2
    assert locate(chain, evidence(1, digests=["k1:bbbb0123"], stamps={"/model": revisions[2]})).place == 3
    assert locate(chain, evidence(2, digests=["k1:dddd"], stamps={"/model": "0001-ffffff"})).place == 1


def test_nothing_is_guessed():
    made, _ = chain_of(*STEPS)
    with pytest.raises(PlanFaults, match="nothing tells where in the chain"):
        locate(link_up(made), evidence(9))
    two = [STEPS[0], STEPS[0].replace("set: {/v: 2}", "set: {/v: 3}")]
    with pytest.raises(PlanFaults, match="may stand at each of base, 0001-"):
        locate(link_up(chain_of(*two)[0]), evidence(1))
