"""What a checkpoint's notes say of its pickle."""

from __future__ import annotations

from ckptlint.formats.pickles import Pickle


def pickle_notes(pickle: Pickle) -> dict[str, str]:
    """Return the protocol, the classes and functions it names (`globals`), and what is odd about it (`oddities`)."""
    notes = {"protocol": str(pickle.protocol)}
    if pickle.globals:
        notes["globals"] = ", ".join(f"{use.module}.{use.name}" for use in pickle.globals)
    if pickle.notes:
        notes["oddities"] = "; ".join(note.text for note in pickle.notes)
    return notes
