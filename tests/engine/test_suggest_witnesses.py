"""What speaks for a pair beside its names: rank among siblings, order between neighbours, unique subtrees, and what must not count."""

from __future__ import annotations

import pytest
from test_suggest import NOTHING_KNOWN, edges, found, schema, tower

from ckptlint.engine.suggest.families import HOLE, fold
from ckptlint.engine.suggest.names import Names, Synonyms
from ckptlint.engine.suggest.ordering import Neighbours, block_of
from ckptlint.engine.suggest.ranking import ranked
from ckptlint.engine.suggest.subtrees import Subtrees
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest

ORDINALS = (("before", "after"), ("input", "post"), ("pre", "post"))


@pytest.mark.parametrize(
    ("names", "ranks"),
    [
        (("norm1", "norm2"), (0, 1)),
        (("norm_2", "norm_1"), (1, 0)),
        (("layernorm_after", "layernorm_before"), (1, 0)),
        (("input_layernorm", "post_attention_layernorm"), (0, 1)),
        (("post_attention_norm", "pre_feedforward_norm"), (None, None)),
        (("norm5", "norm4"), (None, None)),
        (("q_norm", "k_norm"), (None, None)),
    ],
)
def test_siblings_are_ranked_where_their_names_say_it(names, ranks):
    families = fold({f"h.{layer}.{name}.weight": (8,) for layer in range(2) for name in names})
    known = ranked(families, ORDINALS)
    assert tuple(known[family.template].named for family in families) == ranks


def test_a_number_that_holds_no_modules_is_no_block():
    assert block_of(("h", HOLE, "mlp", "0", "weight")) == ("h", HOLE)
    assert block_of(("layers", "0", "blocks", "conv", "weight")) == ("layers", "0")


def test_a_pair_stands_between_the_decided_on_both_sides_or_not():
    old = {family.template[0]: family for family in fold({f"{name}.w": (2,) for name in ("a", "m", "z")})}
    names = ("first", "middle", "last", "later")
    new = {family.template[0]: family for family in fold({f"{name}.w": (2,) for name in names})}
    neighbours = Neighbours()
    assert neighbours.between(old["m"], new["middle"]) is None
    neighbours.add(old["a"], new["first"])
    neighbours.add(old["z"], new["last"])
    assert neighbours.between(old["m"], new["middle"])
    assert not neighbours.between(old["m"], new["later"])


def test_a_subtree_that_only_one_place_can_be_is_told_by_its_shapes():
    old = fold({"s5.0.w": (4, 4), "s5.1.x": (4,), "s4.0.w": (4, 4), "s4.1.x": (5,)})
    new = fold({"b0.0.w": (4, 4), "b0.1.x": (4,), "b1.0.w": (4, 4), "b1.1.x": (5,)})
    known = Subtrees(old, new)
    assert known.agree(old[0], new[0]) == 1.0
    assert known.agree(old[0], new[2]) == 0.0


def test_the_same_number_of_another_list_is_no_name():
    shapes = {"0": (8, 8), "1": (8, 8), "2": (3, 8)}
    old = {f"head.layers.{number}.weight": shape for number, shape in shapes.items()}
    new = {"head.proj_in.weight": (8, 8), "head.layers.0.weight": (8, 8), "head.proj_out.weight": (3, 8)}
    assert edges(found(schema(old), schema(new))).get("head.layers.0.weight") in (None, ("head.layers.1.weight",))


def test_norms_of_the_same_width_are_no_model_in_common():
    old = {f"layer.{i}.bn{n}.weight": (64,) for i in range(3) for n in (1, 2)} | {
        f"c.{i}.weight": (64, 64, 3, 3) for i in range(9)
    }
    new = {f"h.{i}.ln_{n}.weight": (64,) for i in range(3) for n in (1, 2)} | {
        f"h.{i}.fc.weight": (256, 64) for i in range(9)
    }
    assert edges(found(schema(old), schema(new))) == {}


def test_more_layers_are_no_more_comparisons(monkeypatch):
    counts = []
    exact = Names.exact

    def counted(self, old, new):
        counts[-1] += 1
        return exact(self, old, new)

    monkeypatch.setattr(Names, "exact", counted)
    for layers in (3, 30):
        counts.append(0)
        old, new = ({f"{root}{key}": shape for key, shape in tower("h", layers).items()} for root in ("a.", "b."))
        suggest(schema(old), schema(new), NOTHING_KNOWN, SuggestOptions())
    assert counts[0] == counts[1] > 0


def test_a_checkpoint_of_some_layers_gives_these_and_leaves_the_others_open():
    new = {"embed.weight": (50, 8), **tower("h", 4)}
    old = {key: shape for key, shape in new.items() if not key.startswith("h.2.")}
    made = {target: sources for target, sources in edges(found(schema(old), schema(new))).items() if sources}
    assert all(sources == (target,) for target, sources in made.items())


def test_ordinals_come_from_the_data():
    old, new = (
        {f"h.{i}.{name}.g": (8,) for i in range(2) for name in names}
        for names in (("before_n", "after_n"), ("n1", "n2"))
    )
    options = SuggestOptions(use_order=False)
    assert edges(suggest(schema(old), schema(new), NOTHING_KNOWN, options)) == {}
    told = edges(suggest(schema(old), schema(new), Synonyms(ordinals=ORDINALS), options))
    assert told["h.0.n1.g"] == ("h.0.before_n.g",)
