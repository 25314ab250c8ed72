"""What a pickled object says of itself, read without its class: its attributes, and tuples of counts among them."""

from __future__ import annotations

from ckptlint.core.tree import Composite, Dict, List, Opaque, Tuple, Value


def attributes(value: Value) -> Dict:
    """Return the attributes of an object, none of anything else.

    They are pickled as a dict, or as (None, dict) where the class has slots; a tensor that wraps others has them as the last argument
    of its call.
    """
    state: Value = None
    if isinstance(value, Composite):
        arguments = value.call.arguments
        state = arguments.items[-1] if isinstance(arguments, Tuple) and arguments.items else None
    elif isinstance(value, Opaque):
        state = value.state()
    if isinstance(state, Tuple) and len(state.items) == 2:
        state = state.items[1]
    return state if isinstance(state, Dict) else Dict([])


def counts(value: Value) -> tuple[int, ...] | None:
    """Return a list or tuple of numbers from 0 on; None of anything else."""
    if not isinstance(value, List | Tuple):
        return None
    numbers = tuple(each for each in value.items if type(each) is int and each >= 0)
    return numbers if len(numbers) == len(value.items) else None
