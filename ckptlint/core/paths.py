"""Places in a checkpoint's tree, written as text: `/model/optimizer/state/0/exp_avg`.

Steps are joined with `/`; inside a step `~1` stands for `/` and `~0` for `~`, and `~` alone is the empty key. Integer keys are bare,
tuples and lists go by index.
`/cfg@` is the stored state of the opaque object (or the attributes of the dict) at `/cfg`. The root is `/`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.core.tree import Dict, Global, List, Node, Opaque, Tuple, Value
from ckptlint.errors import FormatError, UsageError

ROOT = "/"
STATE = "@"
_MOST_PLACES = 10_000_000  # shared nodes count once a place, and can be shared exponentially often
_LOOK = 200_000  # places after which it pays to count how many there will be
_LISTED = 8


def step(key: Value) -> str:
    """Write one key of a mapping as a step."""
    if isinstance(key, str):
        if not key:
            return "~"
        return key.replace("~", "~0").replace("/", "~1") if "~" in key or "/" in key else key
    return _plain(key).replace("~", "~0").replace("/", "~1")


def join(path: str, key: Value) -> str:
    """The path of what lies under `key` at `path`."""
    return f"/{step(key)}" if path == ROOT else f"{path}/{step(key)}"


def children(value: Value) -> Iterator[tuple[Value, Value]]:
    """Keys (indices in a list or tuple) and values of what lies directly in a container; nothing for all else.

    An opaque object that is itself a mapping or a list has the items that were set on it.
    """
    if isinstance(value, Dict):
        yield from value.items
    elif isinstance(value, List | Tuple):
        yield from enumerate(value.items)
    elif isinstance(value, Opaque):
        yield from ((change[1], change[2]) for change in value.changes if change[0] == "item")
        yield from enumerate(change[1] for change in value.changes if change[0] == "append")


def stored(value: Value) -> Value:
    """The stored state of an opaque object, the attributes of a dict; None where there are none."""
    if isinstance(value, Opaque):
        return value.state()
    return value.state if isinstance(value, Dict) else None


def walk(root: Value, *, states: bool = True, at: str = ROOT) -> Iterator[tuple[str, Value]]:
    """Every place of the tree with its value, outer before inner, in file order; what is shared comes once a place.

    Without `states`, what objects store is left out. `at` is where `root` itself is in a larger tree.
    A cycle is not followed; a tree that unfolds to more than ten million places is a
    `FormatError`.
    """
    yield at, root
    entered = [id(root)]
    pending = [_below(at, root, states=states)]
    open_nodes = set(entered)
    places = 0
    while pending:
        place = next(pending[-1], None)
        if place is None:
            pending.pop()
            open_nodes.discard(entered.pop())
            continue
        places += 1
        if places > _MOST_PLACES or (places == _LOOK and _unfolded(root) > _MOST_PLACES):
            raise FormatError(
                f"the tree unfolds to more than {_MOST_PLACES} places", hint="its objects share each other endlessly"
            )
        yield place
        path, value = place
        if isinstance(value, Dict | List | Tuple | Opaque) and id(value) not in open_nodes:
            open_nodes.add(id(value))
            entered.append(id(value))
            pending.append(_below(path, value, states=states))


def _unfolded(root: Value) -> int:
    """Count the places of a tree by its distinct objects, without going to each; a cycle counts once."""
    counts: dict[int, int] = {}
    pending: list[tuple[Value, bool]] = [(root, False)]
    while pending:
        value, left = pending.pop()
        if left:
            inside = (child for _, child in _below(ROOT, value, states=True))
            counts[id(value)] = min(1 << 62, 1 + sum(counts.get(id(child), 1) for child in inside))
        elif isinstance(value, Dict | List | Tuple | Opaque) and id(value) not in counts:
            counts[id(value)] = 1
            pending.append((value, True))
            pending.extend((child, False) for _, child in _below(ROOT, value, states=True))
    return counts.get(id(root), 1)


def find(root: Value, path: str) -> Value:
    """The value at a path; `UsageError` with what there is where nothing is at it."""
    value, at = root, ROOT
    for text in _steps(path):
        found = _member(value, text)
        if not found:
            raise UsageError(f"there is nothing at {path!r}", where=at, hint=_offer(value))
        value = found[0]
        at = f"/{text}" if at == ROOT else f"{at}/{text}"
    return value


def holds(root: Value, path: str) -> bool:
    """Whether there is anything, None included, at a path."""
    found = [root]
    for text in _steps(path):
        found = _member(found[0], text)
        if not found:
            return False
    return True


def ambiguous(root: Value) -> list[str]:
    """The places whose text also means another place, because a dict has both `0` and `"0"` as keys."""
    places: list[str] = []
    for path, value in walk(root):
        if isinstance(value, Dict) and any(type(key) is not str for key, _ in value.items):
            seen: dict[str, type] = {}
            for key, _ in value.items:
                if seen.setdefault(step(key), type(key)) is not type(key):
                    places.append(join(path, key))
    return places


def _below(path: str, value: Value, *, states: bool) -> Iterator[tuple[str, Value]]:
    for key, child in children(value):
        yield join(path, key), child
    state = stored(value) if states else None
    if state is not None:
        yield path + STATE, state


def _steps(path: str) -> list[str]:
    if path != ROOT and not path.startswith(ROOT):
        raise UsageError(f"{path!r} is not a path in a checkpoint", hint="it starts with /, as in /model/optimizer")
    return [] if path == ROOT else path[1:].split("/")


def _member(value: Value, text: str) -> list[Value]:
    """What lies at one step, as a list of one or none, since None is a value."""
    found = [child for key, child in children(value) if step(key) == text]
    if found:
        return found[-1:]  # of a repeated key Python keeps the last
    bare = text.rstrip(STATE)
    for count in range(len(text) - len(bare), 0, -1):
        base = _base(value, text[: len(text) - count])
        for _ in range(count):
            base = [state for state in map(stored, base) if state is not None]
        if base:
            return base
    return []


def _base(value: Value, text: str) -> list[Value]:
    return [child for key, child in children(value) if step(key) == text][-1:] if text else [value]


def _offer(value: Value) -> str:
    names = [step(key) for key, _ in children(value)]
    if stored(value) is not None:
        names.append(STATE)
    if not names:
        return "what is there holds nothing"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"there are {', '.join(names[:_LISTED])}{more}"


def _plain(key: Value) -> str:
    """A key that is no text, bounded however large the object is."""
    if isinstance(key, Tuple):
        inner = ", ".join(
            repr(item) if isinstance(item, str) else _plain(item) for item in key.items if not isinstance(item, Tuple)
        )
        return f"({inner})"
    if isinstance(key, Opaque):
        return f"<{key.named}>"
    if isinstance(key, Node):
        return str(key) if isinstance(key, Global) else f"<{type(key).__name__.lower()}>"
    return str(key)
