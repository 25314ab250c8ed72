"""How a run ends: a fault of the user is one message and its exit code, whoever read the arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from ckptlint.errors import CkptlintError, OutputError


def ended(run: Callable[[], int]) -> int:
    """Run, and return the exit code; what escapes is a bug."""
    try:
        return run()
    except CkptlintError as error:
        return _said(_printable(str(error)), error.exit_code)
    except KeyboardInterrupt:
        return _said("interrupted; outputs are untouched", 130)
    except MemoryError:
        return _said("memory ran out; outputs are untouched", OutputError.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away, as `head` does; Python would complain at exit
        return 0
    except SystemExit as leaving:
        return int(leaving.code or 0)


def _said(text: str, code: int) -> int:
    sys.stderr.write(f"ckptlint: {text}\n")
    return code


def printed(lines: Iterable[str], code: int) -> int:
    """Write what a command gives to stdout, and return its exit code."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    return code


def _printable(text: str) -> str:
    """Escape what a key or file name could do to a terminal; line breaks are ours."""
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)
