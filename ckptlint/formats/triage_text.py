"""Texts where a checkpoint was expected: pointers, error pages, half-merged files. One of them, a shard index, is a checkpoint."""

from __future__ import annotations

import re

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError

_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_HTML = re.compile(r"\s*+(?><!--.*?-->\s*+)*+<(!doctype html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title>\s*([^<]{1,80}?)\s*</title>|<(?:Code|Message)>([^<]{1,80})<", re.IGNORECASE)
_YAML = re.compile(r"(---|[\w.-]+:( .*)?$)", re.MULTILINE)
_LFS_SIZE = re.compile(r"^size (\d+)$", re.MULTILINE)
_PYTHON = re.compile(
    r"(?:[^\S\n]*+(?:#(?!!)[^\n]*+)?\n)*+[^\S\n]*+"
    r"(#!.*\bpython|(import|from) [\w.]+( import | as |,|\s*$)|(async )?def \w+\(|class \w+[(:]|@\w+[(\n]"
    r'|[rf]?"""(.|\n)*^(import|from|def|class) \w)',
    re.MULTILINE,
)
_JSON_ERROR = re.compile(r'"(?:error|message|detail)"\s*:\s*"([^"]{1,80})"')

_REFUSED = re.compile(
    r"(?:http/\d\S* |error:? )?(?:[45]\d\d:? )?"
    r"(?:(?:entry|file|page|repository|revision|object|blob)?\s*not found\b|invalid (?:username|credentials|token)"
    r"|(?:access|permission) denied|access to (?:\S+ ){1,2}is (?:restricted|gated)|unauthori[sz]ed|forbidden"
    r"|bad (?:request|gateway|credentials)|service unavailable|gateway time-?out|(?:api )?rate limit|too many requests"
    r"|internal server error|(?:download )?quota exceeded|request has expired)",
    re.IGNORECASE,
)
"""How a server begins when it answers in plain words."""
_ANSWER = "the download got an answer meant for people: check the address, the login and whether access was granted"
_LONGEST_ANSWER = 2000  # characters


def judge_text(head: bytes, source: ByteSource) -> str:
    """Return `index` for a shard index and the empty text for what is no text; every other text is a `FormatError`."""
    text = _decode(head)
    if text is None:
        return ""
    start = text.lstrip()
    if start.startswith("{") and ('"weight_map"' in text or source.name.endswith(".index.json")):
        return "index"
    raise _pointer(text, source) or _page(start, source) or _document(start, source)


def _decode(head: bytes) -> str | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.decode("utf-16", errors="replace")
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # the head may end within a character
            return None
        text = head[: error.start].decode("utf-8-sig")
    return None if _CONTROLS.search(text) else text


def _pointer(text: str, source: ByteSource) -> FormatError | None:
    if text.startswith(("version https://git-lfs", "version https://hawser")):
        size = _LFS_SIZE.search(text)
        what = f" to a file of {size[1]} bytes" if size else ""
        return FormatError(
            f"is a Git LFS pointer{what}, not the file itself",
            where=source.name,
            hint="fetch it with `git lfs pull`",
            rule="CKC111",
        )
    if text.startswith("# xet version"):
        return FormatError(
            "is a Git Xet pointer, not the file itself", where=source.name, hint="fetch it with git-xet", rule="CKC112"
        )
    if text.startswith(("outs:\n", "md5:")):
        return FormatError(
            "is a DVC pointer, not the file itself", where=source.name, hint="fetch it with `dvc pull`", rule="CKC112"
        )
    annexed = re.match(r"(\.\./)*/?\.?(git/)?annex/objects/", text)
    if annexed:
        return FormatError(
            "is a git-annex pointer, not the file itself",
            where=source.name,
            hint="fetch it with `git annex get`",
            rule="CKC112",
        )
    if re.search(r"^<<<<<<< ", text, re.MULTILINE):
        return FormatError(
            "has the marks of a git conflict in it",
            where=source.name,
            hint="take one side: git checkout --theirs FILE",
            rule="CKC113",
        )
    return None


def _page(start: str, source: ByteSource) -> FormatError | None:
    hint = _ANSWER
    title = _TITLE.search(start)
    says = f" that says {(title[1] or title[2])!r}" if title else ""
    if _HTML.match(start):
        return FormatError(f"is an HTML page{says}, not a checkpoint", where=source.name, hint=hint, rule="CKC114")
    if start.startswith("<"):
        return FormatError(f"is an XML document{says}, not a checkpoint", where=source.name, hint=hint, rule="CKC114")
    if start.startswith(("{", "[")):
        error = _JSON_ERROR.search(start)
        if error:
            return FormatError(
                f"is a server's answer {error[1]!r}, not a checkpoint", where=source.name, hint=hint, rule="CKC114"
            )
        return FormatError(
            "is a JSON text, not a checkpoint",
            where=source.name,
            hint="a shard index has a weight_map; this has none",
            rule="CKC115",
        )
    return None


def _document(start: str, source: ByteSource) -> FormatError:
    if not start:
        return FormatError(
            "has nothing but blanks", where=source.name, hint="check that it is the right file", rule="CKC101"
        )
    line = start.splitlines()[0][:60]
    if _PYTHON.match(start):
        hint = f"a model is named by its class: --model {source.name}:Class"
        what = f"is Python source, not a checkpoint; it starts {line!r}"
        return FormatError(what, where=source.name, hint=hint, rule="CKC116")
    if len(start) <= _LONGEST_ANSWER and _REFUSED.match(start):
        return FormatError(
            f"is a server's answer {line!r}, not a checkpoint", where=source.name, hint=_ANSWER, rule="CKC114"
        )
    kind = "YAML text" if _YAML.match(start) else "text"
    hint = "check that it is the right file"
    return FormatError(
        f"is a {kind}, not a checkpoint; it starts {line!r}", where=source.name, hint=hint, rule="CKC115"
    )
