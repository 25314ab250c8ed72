"""A condition of a migration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition decidable from headers, by its `test`.

    `has`/`lacks` hold a Selector; `shape`/`dtype` a literal key and what it must be; `tree` a tree path and a scalar, `in` a path and
    scalars, `type` a path and the name of a type; `present`/`absent`/`falsy` a path; `param` a name and an integer; `all`/`any`/`not`
    their Guards.
    """

    test: str
    arguments: tuple[object, ...]
    where: str = ""
