"""The checkpoint compatibility linter and migrator for PyTorch.

What is listed in `__all__` is the API, described in `docs/api.md`. A name is imported when it is first used, so that `import ckptlint`
costs next to nothing.
"""

__version__ = "0.1.0"

__all__ = [
    "CkptlintError",
    "Finding",
    "Report",
    "Schema",
    "Severity",
    "diff",
    "inspect",
    "install",
    "lint",
    "load",
    "migrate",
    "prove",
    "snapshot",
    "write_lock",
]

TYPE_CHECKING = False  # type checkers take it for true; typing's own costs more than the rest of this module
if TYPE_CHECKING:
    from ckptlint.commands.api import diff, inspect, lint, migrate, prove, snapshot, write_lock
    from ckptlint.commands.loading import install, load
    from ckptlint.core.finding import Finding, Report, Severity
    from ckptlint.core.schema import Schema
    from ckptlint.errors import CkptlintError

_ELSEWHERE = {
    "CkptlintError": "ckptlint.errors",
    "Finding": "ckptlint.core.finding",
    "Report": "ckptlint.core.finding",
    "Schema": "ckptlint.core.schema",
    "Severity": "ckptlint.core.finding",
    "install": "ckptlint.commands.loading",
    "load": "ckptlint.commands.loading",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(_ELSEWHERE.get(name, "ckptlint.commands.api")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
