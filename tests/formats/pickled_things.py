"""Classes that pickle themselves in every way Python knows, importable by the tests and by what they load."""

import enum
import typing


class Plain:
    pass


class Slotted:
    __slots__ = ("left", "right")


class Both(Slotted):
    __slots__ = ("__dict__",)


class Stateful:
    def __init__(self, content):
        self.content = content

    def __getstate__(self):
        return ("state", self.content)

    def __setstate__(self, state):
        self.content = state[1]


class Reduced:
    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return type(self), self.arguments, {"extra": getattr(self, "extra", None), "arguments": self.arguments}


class Keyed:
    def __new__(cls, number, *, word):
        made = super().__new__(cls)
        made.number, made.word = number, word
        return made

    def __getnewargs_ex__(self):
        return (self.number,), {"word": self.word}


class ListChild(list):
    pass


class DictChild(dict):
    pass


class SetChild(set):
    pass


class StateSetter:
    """Is given its state by a function, the sixth value of `__reduce__`."""

    def __reduce__(self):
        return StateSetter, (), self.__dict__, None, None, give_state


def give_state(made, state):
    made.__dict__.update(state)
    made.__dict__["given"] = True


class Outer:
    class Inner:
        pass


class Pair(typing.NamedTuple):
    left: object
    right: object


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


def function(left, right=0):
    return left, right
