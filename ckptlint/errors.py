"""The faults a user can cause or meet. Anything else that escapes is a bug in ckptlint.

Each kind carries the exit code it ends a command with (the table is in `docs/commands.md`), so that no command
decides about codes by itself.
"""

from __future__ import annotations

from typing import ClassVar


class CkptlintError(Exception):
    """Base of every error that the command line prints without a traceback.

    `message` says what is wrong, `where` the place (file:line:column, key, byte offset), `hint` what would do, `rule` the id of the
    rule that explains it (`ckptlint explain`), where there is one.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, where: str = "", hint: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.rule = rule

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        code = f" [{self.rule}]" if self.rule else ""
        advice = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{place}{self.message}{code}{advice}"

    def at(self, where: str) -> CkptlintError:
        """Return the same error with a place, for a caller that knows it; an inner place wins."""
        return type(self)(self.message, where=self.where or where, hint=self.hint, rule=self.rule)


class UsageError(CkptlintError):
    """Arguments or options that contradict each other or name what does not exist."""

    exit_code = 2


class DocumentError(CkptlintError):
    """A rule, migration, lock or config file does not have the form it should."""

    exit_code = 2


class FormatError(CkptlintError):
    """A checkpoint file is missing, unreadable or malformed."""


class ModelError(CkptlintError):
    """The model that the user named cannot be imported, built or described."""


class OutputError(CkptlintError):
    """The output cannot be written; what was there before is untouched."""


class ShapeError(CkptlintError):
    """An operation cannot apply to tensors of these shapes and dtypes."""

    exit_code = 1


class PlanError(CkptlintError):
    """A migration, valid in itself, does not fit the schema it is applied to."""

    exit_code = 1
