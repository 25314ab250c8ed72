"""Folders and files as a git revision has them: read as blobs, with nothing checked out and nothing of the work tree touched."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from ckptlint.errors import UsageError

_OF_CHAINS = (".yaml", ".yml", ".sum")


def known(ref: str, folder: Path) -> None:
    """`UsageError` where the revision is not in the repository that the folder is in."""
    if ref.startswith("-") or not ref:
        raise UsageError(f"{ref!r} is no revision of git")
    done = _git(_standing(folder)[0], "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    if done.returncode:
        hint = f"a shallow clone may lack it: git fetch {_fetched(ref)}"
        raise UsageError(f"git knows no revision {ref!r} here", where=str(folder), hint=hint)


def _fetched(ref: str) -> str:
    """What to fetch for a revision: a remote's branch, to where it is looked for, as a clone of one branch does not by itself."""
    branch = ref.removeprefix("origin/")
    if set(ref) & set("~^@"):
        return "--unshallow"
    return f"--depth=1 origin {branch}:refs/remotes/{ref}" if branch != ref else f"--depth=1 origin {ref}"


def unpack(ref: str, folder: Path, into: Path) -> bool:
    """Write the files of a chain that a folder has in a revision below `into`, no checkpoints beside them; false where it has none."""
    found = sorted(name for name in names(ref, folder) if name.endswith(_OF_CHAINS))
    for name in found:
        place = into / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(_blob(ref, folder, name))
    return bool(found)


def exists(ref: str, folder: Path) -> bool:
    """Whether the repository has a revision: a new one has not even HEAD."""
    return not _git(folder, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").returncode


def top(folder: Path) -> Path | None:
    """The work tree that a folder is in; None where it is in none, or there is no git."""
    here = next((each for each in (folder, *folder.parents) if each.is_dir()), Path())
    try:
        done = _git(here, "rev-parse", "--show-toplevel")
    except UsageError:
        return None
    return None if done.returncode else Path(done.stdout.decode("utf-8", "surrogateescape").rstrip("\n"))


def blob(ref: str, path: Path) -> bytes | None:
    """The bytes of a file in a revision; None where it has no such file."""
    here, below = _standing(path.parent)
    listed = _git(here, "ls-tree", "-z", "--name-only", ref, f"./{below}{path.name}")
    return _blob(ref, path.parent, path.name) if listed.stdout else None


def history(path: Path) -> Iterator[bytes]:
    """What a file was in every commit of every branch that changed it, the newest first, each content once; nothing outside of git."""
    folder = path.parent if path.parent.is_dir() else Path()
    asked = (
        "log",
        "--all",
        "--format=",
        "--raw",
        "--no-abbrev",
        "-z",
        "--diff-merges=separate",
        "--",
        f"./{path.name}",
    )
    listed = _git(folder, *asked)
    if listed.returncode:
        return
    fields = (each.split(b" ") for each in listed.stdout.split(b"\0") if each.startswith(b":"))
    for name in dict.fromkeys(field[3] for field in fields if len(field) > 3 and field[3].strip(b"0")):
        done = _git(folder, "cat-file", "blob", name.decode())
        if not done.returncode:
            yield done.stdout


def names(ref: str, folder: Path) -> set[str]:
    """The paths, from a folder, of the files that a revision has below it."""
    here, below = _standing(folder)
    listed = _git(here, "ls-tree", "-r", "-z", "--name-only", ref, f"./{below}")
    found = (name for name in listed.stdout.decode("utf-8", "surrogateescape").split("\0") if name)
    return {name.removeprefix(below) for name in found}


def blob_below(ref: str, folder: Path, path: str) -> bytes:
    """The bytes of a file that a revision has, by its path from a folder."""
    return _blob(ref, folder, path)


def _blob(ref: str, folder: Path, name: str) -> bytes:
    here, below = _standing(folder)
    done = _git(here, "show", f"{ref}:./{below}{name}")
    if done.returncode:
        raise UsageError(f"git cannot read {name} of {ref}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _standing(folder: Path) -> tuple[Path, str]:
    """The nearest folder that the work tree still has, in which git can run, and the way from there to a folder: '' or `a/b/`."""
    whole = folder.absolute()
    here = next(each for each in (whole, *whole.parents) if each.is_dir())
    below = whole.relative_to(here).as_posix()
    return here, "" if below == "." else f"{below}/"


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=False)  # noqa: S603  git itself, with a checked revision
    except OSError as error:
        raise UsageError(f"git cannot be run: {error.strerror}") from error
