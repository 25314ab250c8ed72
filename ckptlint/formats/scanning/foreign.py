"""Code in files that are no pickles: programs of other frameworks, chat templates, names of shards."""

from __future__ import annotations

import re
from collections.abc import Callable

from ckptlint.core.survey import Odd
from ckptlint.formats.scanning.blobs import MOST_IN_MEMORY, Blob, Finds
from ckptlint.formats.scanning.index_names import check_index

_LAMBDA = re.compile(rb'"class_name"\s*:\s*"(Lambda|__lambda__)"')
_BYTECODE = re.compile(
    rb'"function_type"\s*:\s*"lambda"|"class_name"\s*:\s*"__lambda__"|"function"\s*:\s*"\s*lambda\b|"(?:4w|Yw)[A-Za-z0-9+/\\]{30}'
)
_KERAS_MODULE = re.compile(rb'"module"\s*:\s*"([A-Za-z_][\w.]{0,100})"')
_FILE_OPERATIONS = ("ReadFile", "WriteFile", "PyFunc", "PyFuncStateless", "EagerPyFunc")
_GRAPH = re.compile(b"|".join(b"\x12%c%b" % (len(name), name.encode()) for name in _FILE_OPERATIONS))
_TEMPLATE = re.compile(rb"\{[{%][^}]*")
_REACHING = re.compile(
    rb"__class__|__globals__|__subclasses__|__builtins__|__import__|popen\("
    rb"|\|\s*+attr\s*+\(|\\x5f|\\u005f|\b(?:cycler|lipsum|joiner)\b"
)
_EXPRESSION_LENGTH = 2000  # bytes from where a template's expression begins; further off it is other text
_SCRIPT = re.compile(rb"\btorch\.(from_file|save|load)\(|\bops\.prim\.PythonOp\b")
_YAML = re.compile(rb"!!python/(object/apply|object/new|object|name|module):([A-Za-z_][\w.]{0,200})")
_EXPRESSION = re.compile(rb'"expr_str"\s*:\s*"[^"]{0,4000}?(__\w{1,60}__|\b(eval|exec|open|getattr|compile|lambda)\b)')
_OWN_CODE = re.compile(rb'"auto_map"\s*:\s*\{[^{}]{0,4000}?:\s*\[?\s*"([^"]{1,200})"')
_MOST_NAMES = 1000
_TEXT = 16 << 20  # bytes that are searched of what should be text
_HDF5 = b"\x89HDF\r\n\x1a\n"
_TOP = 1  # containers around a file that is opened by itself


def worth_reading(name: str, head: bytes) -> bool:
    """Whether a record of an archive can hold such code, by its name and first bytes."""
    inner = name.endswith(".py") and "/code/" in name
    return (
        inner
        or name.endswith(
            (
                "config.json",
                "/models/model.json",
                "serialized_exported_program.json",
                ".weight_map",
                ".pb",
                ".h5",
                ".hdf5",
                ".gguf",
            )
        )
        or head.startswith(_HDF5)
    )


def search_foreign(blob: Blob, head: bytes, finds: Finds) -> None:
    name = blob.name.casefold()
    if head.startswith(_HDF5):
        _search_keras(blob, finds)
    for suffixes, search in _BY_NAME:
        if name.endswith(suffixes):
            search(blob, finds)
    if name.endswith(".py") and "/code/" in name:
        _search_script(blob, finds)
    _search_text(blob, head, name, finds)
    if name == "latest" and b".." in head.strip().split(b"/"):
        said = head[:80].decode("utf-8", "backslashreplace")
        finds.odd(Odd.LEADS_OUT, f"names {said!r}, outside of its folder", blob.place)
    if head.startswith((b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")):
        finds.odd(Odd.NOT_SEARCHED, "is an archive of a kind that is not unpacked", blob.place)


def _search_text(blob: Blob, head: bytes, name: str, finds: Finds) -> None:
    """Search JSON, and what holds chat templates."""
    text = head.lstrip()[:1] == b"{"
    if text:
        _search_json(blob, name, finds)
    if text and blob.depth <= _TOP:
        check_index(blob, finds)
    templates = text or head[:4] in (b"GGUF", b"FUGG") or name.endswith(".jinja")
    if templates and _reaches(blob.read(0, _TEXT)):
        finds.odd(Odd.CODE, "holds a chat template that reaches for Python's internals", blob.place)


def _reaches(content: bytes) -> bool:
    """Whether an expression of a template names what leads to Python's internals."""
    for template in _TEMPLATE.finditer(content):
        start = template.start()
        for found in _REACHING.finditer(content, start, template.end()):
            begin = max(start, found.start() - _EXPRESSION_LENGTH)
            if content.find(b"{{", begin, found.start()) >= 0 or content.find(b"{%", begin, found.start()) >= 0:
                return True
    return False


def _search_yaml(blob: Blob, finds: Finds) -> None:
    """Tags with which PyYAML's full and unsafe loaders name classes and functions: judged as those of a pickle are."""
    from ckptlint.checks.trust import Trust, judge

    for found, _ in zip(_YAML.finditer(blob.read(0, _TEXT)), range(_MOST_NAMES), strict=False):
        full = found[2].decode()
        module, _, name = full.rpartition(".")
        calls = found[1] != b"name"
        if found[1] == b"module":
            module, name = full, ""
        if judge(module or "builtins", name, called=calls).trust is Trust.DANGEROUS:
            text = f"holds the YAML tag {found[0].decode()}, which yaml.load runs unless it is told to be safe"
            finds.odd(Odd.PROGRAM, text, blob.place)


def _search_json(blob: Blob, name: str, finds: Finds) -> None:
    content = blob.read(0, _TEXT)
    found = _EXPRESSION.search(content)
    if found:
        text = f"has a size that is an expression with {found[1].decode()}, which torch.export.load evaluates as Python"
        finds.odd(Odd.PROGRAM, text, blob.place)
    found = _OWN_CODE.search(content) if name.endswith("config.json") else None
    if found:
        text = (
            f"names code of its own ({found[1].decode('utf-8', 'backslashreplace')}), which trust_remote_code=True runs"
        )
        finds.odd(Odd.CODE, text, blob.place)


def _search_graph(blob: Blob, finds: Finds) -> None:
    found = _GRAPH.search(blob.read(0, MOST_IN_MEMORY))
    if found:
        operation = found[0][2:].decode()
        finds.odd(Odd.PROGRAM, f"holds the TensorFlow operation {operation}, which runs with the model", blob.place)


def _search_script(blob: Blob, finds: Finds) -> None:
    found = _SCRIPT.search(blob.read(0, _TEXT))
    if found:
        text = f"holds TorchScript that calls {found[0].decode().rstrip('(')}, which reads or writes files"
        finds.odd(Odd.PROGRAM, text, blob.place)


def _search_keras(blob: Blob, finds: Finds) -> None:
    from ckptlint.checks.trust import Trust, judge

    content = blob.read(0, MOST_IN_MEMORY)
    for found in _KERAS_MODULE.finditer(content):
        if found[1] != b"builtins" and judge(found[1].decode(), "object").trust is Trust.DANGEROUS:
            text = f"holds a Keras config that takes a function of {found[1].decode()}, which loading it imports"
            finds.odd(Odd.PROGRAM, text, blob.place)
            return
    if not _LAMBDA.search(content):
        return
    if _BYTECODE.search(content):
        finds.odd(
            Odd.PROGRAM, "holds a Keras Lambda layer, which is Python bytecode that runs when it is loaded", blob.place
        )
    else:
        finds.odd(Odd.CODE, "holds a Keras Lambda layer, which calls a function by its name", blob.place)


_BY_NAME: tuple[tuple[tuple[str, ...], Callable[[Blob, Finds], None]], ...] = (
    (("config.json", ".keras", ".pb"), _search_keras),
    ((".pb", ".pbtxt"), _search_graph),
    ((".yaml", ".yml"), _search_yaml),
)
