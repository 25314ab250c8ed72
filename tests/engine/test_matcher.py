from hypothesis import given, settings
from hypothesis import strategies as st

from ckptlint.core.template import Selector, Template
from ckptlint.engine.matcher import Matcher

PATTERNS = [
    *map(
        Template.parse,
        [
            "a.b",
            "a.{x}",
            "{x}.b",
            "a.{i:int}.w",
            "{p:path}",
            "a.{p:path}",
            "{p:path}.w",
            "a.x{i:int}",
            "{x}.{y}.w",
            "",
            ".",
        ],
    ),
    *map(Selector.parse, ["**", "a.**", "**.w", "a.*", "a.{0..3}.w", "{a,b}.b", "a.**.w", "*.b*"]),
]
KEYS = st.lists(
    st.lists(st.sampled_from(["a", "b", "0", "3", "12", "w", "x1", ""]), max_size=4).map(".".join), max_size=8
)


@settings(deadline=None)
@given(keys=KEYS, patterns=st.lists(st.sampled_from(PATTERNS), max_size=8))
def test_it_finds_what_trying_every_pattern_finds(keys, patterns):
    expected = [
        (key, [(n, each.match(key)) for n, each in enumerate(patterns) if each.match(key) is not None]) for key in keys
    ]
    assert list(Matcher(patterns).matches(keys)) == [(key, found) for key, found in expected if found]


class Counted:
    """A template that counts how often it is tried."""

    def __init__(self, text):
        self._template = Template.parse(text)
        self.segments = self._template.segments
        self.tries = 0

    def match(self, key):
        self.tries += 1
        return self._template.match(key)


def test_a_pattern_is_tried_only_where_its_literal_segments_are():
    patterns = [Counted(f"layers.{{i:int}}.part{n}.{{t}}") for n in range(100)]
    keys = [f"layers.{i}.part{n}.w" for i in range(10) for n in range(100)]
    assert len(list(Matcher(patterns).matches(keys))) == 1000
    assert {pattern.tries for pattern in patterns} == {10}
