"""Which files of an unfinished output are finished: a list beside them that grows, each with its digest.

A later run believes none of it: the job must be the same, word for word, and each file is read and its digest compared.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from hashlib import sha256

LIST = ".finished"
_LINE = re.compile(r"([0-9a-f]{64}) (\d+) (.+)\n")
_BLOCK = 1 << 20  # bytes


def begin(folder: str, job: str) -> None:
    """Start the list of a folder; `job` says all that decides what the files will be."""
    _append(os.path.join(folder, LIST), f"{_text_digest(job)} 0 job\n")


def note(folder: str, name: str) -> None:
    """Add a file that is whole and durable."""
    place = os.path.join(folder, name)
    _append(os.path.join(folder, LIST), f"{_file_digest(place)} {os.path.getsize(place)} {name}\n")


def same_job(folder: str, job: str) -> bool:
    """Whether what is in a folder was made by the same job."""
    return next(_lines(folder), None) == (_text_digest(job), 0, "job")


def sound(folder: str) -> Iterator[str]:
    """Return the names of the files that are finished and, read again, are what they were."""
    for number, (digest, size, name) in enumerate(_lines(folder)):
        place = os.path.join(folder, name)
        if number and name == os.path.basename(name) and _is_file_of(place, size) and _file_digest(place) == digest:
            yield name


def listed(folder: str) -> Iterator[str]:
    """Return the names of the files that are noted, as they are noted."""
    for number, (_, _, name) in enumerate(_lines(folder)):
        if number and os.path.isfile(os.path.join(folder, name)):
            yield name


def _is_file_of(place: str, size: int) -> bool:
    return os.path.isfile(place) and not os.path.islink(place) and os.path.getsize(place) == size


def _lines(folder: str) -> Iterator[tuple[str, int, str]]:
    try:
        with open(os.path.join(folder, LIST), encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            for line in file:
                found = _LINE.fullmatch(line)  # a line that a power cut left torn is none
                if found is not None:
                    yield found[1], int(found[2]), found[3]
    except (FileNotFoundError, NotADirectoryError):
        return


def _append(place: str, line: str) -> None:
    with open(place, "ab") as file:
        file.write(line.encode("utf-8", errors="surrogateescape"))
        file.flush()
        os.fsync(file.fileno())


def _text_digest(text: str) -> str:
    return sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def _file_digest(place: str) -> str:
    digest = sha256()
    with open(place, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
