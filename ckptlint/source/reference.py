"""How a user names a model: `pkg.mod:Class`, `path/file.py:factory`, `pkg.mod:attribute.path`."""

from __future__ import annotations

from dataclasses import dataclass
from keyword import iskeyword

from ckptlint.errors import UsageError

_FORMS = "write it as pkg.module:Class, pkg.module:factory or path/file.py:Class"


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A class, a function or an `nn.Module` instance: `place` is a dotted module or a `.py` file, `names` lead to it."""

    place: str
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> ModelReference:
        """Read what `str()` writes. The last colon divides: a Windows drive's is no matter."""
        place, colon, path = text.strip().rpartition(":")
        if not colon or (len(place) == 1 and path[:1] in ("\\", "/")):  # no colon, or a Windows drive's
            raise UsageError(f"{text!r} names no class or function", hint=f"{_guess(text.strip())}{_FORMS}")
        names = tuple(path.split("."))
        if not all(map(_is_name, names)):
            raise UsageError(f"{text!r}: {path!r} after the colon is not a name", hint=_FORMS)
        reference = cls(place, names)
        if not reference.is_file and not all(map(_is_name, place.split("."))):
            raise UsageError(f"{text!r}: {place!r} is neither a dotted module name nor a .py file", hint=_FORMS)
        return reference

    @classmethod
    def looks_like(cls, text: str) -> bool:
        """Whether the text has the form of a reference, whatever it points at."""
        try:
            cls.parse(text)
        except UsageError:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.place}:{'.'.join(self.names)}"

    @property
    def is_file(self) -> bool:
        return self.place.endswith(".py") and self.place not in (".py", "")


def _guess(text: str) -> str:
    """What a dotted name (`models.CNN`) or a bare file was meant to be."""
    module, dot, name = text.rpartition(".")
    if not dot or not all(map(_is_name, text.split("."))):
        return ""
    return f"did you mean {text}:CLASS? " if name == "py" else f"did you mean {module}:{name}? "


def _is_name(word: str) -> bool:
    return word.isidentifier() and not iskeyword(word)
