"""What killed runs leave beside an output: told from what is being written by a lock that ends with the process that holds it.

Temporary names are `.NAME.ckptlint-PID-RANDOM`; the number in it is for people, the lock decides. Where files cannot be locked, everything
is taken for being written, and nothing is ever cleared.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

MOVING = ".moving"  # in a folder whose files are complete and are being moved
OLD = "-old"  # ends the name of a folder with what is being replaced
_LONGEST_STEM = 200  # bytes of a name that the temporary one repeats
_MARK = re.compile(r"\.ckptlint-\d+-[0-9a-f]{8}(?:-old)?")
_BUSY = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})


def temporary_name(path: str) -> str:
    """Return a new name beside `path`, a real path."""
    return f"{_stem(path)}.ckptlint-{os.getpid()}-{secrets.token_hex(4)}"


def hold(descriptor: int) -> bool:
    """Lock a file or folder as long as it is open; False where somebody else holds it, or nothing can be locked."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def taken(descriptor: int) -> bool:
    """Lock a file as long as it is open; True where somebody else holds it. What cannot be locked is not taken."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _BUSY
    return False


def is_there(descriptor: int, path: str) -> bool:
    """Whether what is open still has its name: another run may have cleared it before it was locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def leftovers(path: str) -> Iterator[str]:
    """Return the temporary files and folders of an output that no process is writing, in order of their names."""
    folder, stem = os.path.split(_stem(os.path.realpath(path)))
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        if name.startswith(stem) and _MARK.fullmatch(name[len(stem) :]):
            place = os.path.join(folder, name)
            with held(place.removesuffix(OLD) if os.path.exists(place.removesuffix(OLD)) else place) as free:
                if free:
                    yield place


@contextmanager
def held(place: str) -> Iterator[bool]:
    """Hold a leftover for a while; yields whether that could be done."""
    try:
        descriptor = os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        yield False
        return
    try:
        yield hold(descriptor)
    finally:
        os.close(descriptor)


def remove(place: str) -> int:
    """Remove a leftover; return how many bytes it took on the disk."""
    if not os.path.isdir(place) or os.path.islink(place):
        freed = _size(place)
        os.unlink(place)
        return freed
    freed = 0
    for name in os.listdir(place):
        inner = os.path.join(place, name)
        freed += _size(inner)
        os.unlink(inner)
    os.rmdir(place)
    return freed


def is_moving(place: str) -> bool:
    """Whether files of this leftover folder may be in their places already."""
    return os.path.exists(os.path.join(place, MOVING))


def _stem(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, "." + os.fsdecode(os.fsencode(name)[:_LONGEST_STEM]))


def _size(place: str) -> int:
    status = os.lstat(place)
    return getattr(status, "st_blocks", 0) * 512 if status.st_nlink == 1 else 0
