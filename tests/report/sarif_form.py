"""The part of SARIF 2.1.0 that ckptlint writes, in words of our own: what each object may have, and must.

The standard's own JSON Schema is not in the repository; where CKPTLINT_SARIF_SCHEMA names a copy and jsonschema is installed, the
documents are validated with it too (`test_the_standard_agrees`).
"""

import re

_URI = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")
TEXT, NUMBER, COUNT, YES = "text", "number", "count", "boolean"
LEVEL = ("none", "note", "warning", "error")
FORMS = {
    "log": {"$schema": "uri", "version!": ("2.1.0",), "runs!": ["run"]},
    "run": {
        "tool!": "tool",
        "results": ["result"],
        "invocations": ["invocation"],
        "columnKind": ("utf16CodeUnits", "unicodeCodePoints"),
    },
    "tool": {"driver!": "component"},
    "component": {"name!": TEXT, "semanticVersion": TEXT, "informationUri": "uri", "rules": ["rule"]},
    "rule": {"id!": TEXT, "name": TEXT, "shortDescription": "message", "helpUri": "uri", "properties": "bag"},
    "message": {"text": TEXT},
    "invocation": {"executionSuccessful!": YES, "toolExecutionNotifications": ["notification"]},
    "notification": {"message!": "message", "level": LEVEL},
    "result": {
        "ruleId": TEXT,
        "ruleIndex": COUNT,
        "level": LEVEL,
        "message!": "message",
        "locations": ["location"],
        "relatedLocations": ["location"],
        "codeFlows": ["flow"],
        "partialFingerprints": "texts",
        "rank": NUMBER,
        "suppressions": ["suppression"],
        "baselineState": ("new", "unchanged", "updated", "absent"),
        "properties": "bag",
    },
    "location": {"id": COUNT, "physicalLocation": "physical", "logicalLocations": ["logical"], "message": "message"},
    "physical": {"artifactLocation": "artifact", "region": "region", "properties": "bag"},
    "artifact": {"uri": "uri"},
    "region": {"startLine": "line", "startColumn": "line", "endLine": "line", "endColumn": "line"},
    "logical": {"fullyQualifiedName": TEXT, "kind": TEXT},
    "flow": {"threadFlows!": ["thread"]},
    "thread": {"locations!": ["step"]},
    "step": {"location": "location"},
    "suppression": {
        "kind!": ("inSource", "external"),
        "status": ("accepted", "underReview", "rejected"),
        "justification": TEXT,
    },
}
_PLAIN = {
    TEXT: lambda v: isinstance(v, str),
    NUMBER: lambda v: isinstance(v, int | float) and 0 <= v <= 100,
    COUNT: lambda v: isinstance(v, int) and v >= 0,
    "line": lambda v: isinstance(v, int) and v >= 1,
    YES: lambda v: isinstance(v, bool),
    "uri": lambda v: isinstance(v, str) and _URI.fullmatch(v) is not None,
    "texts": lambda v: isinstance(v, dict) and all(isinstance(each, str) for each in v.values()),
    "bag": lambda v: isinstance(v, dict),
}


def faults(value, form="log", path="$"):
    """Every place at which a document has not the form, in words."""
    if isinstance(form, tuple):
        return [] if value in form else [f"{path}: {value!r} is none of {form}"]
    if isinstance(form, list):
        if not isinstance(value, list):
            return [f"{path}: no list"]
        return [fault for n, each in enumerate(value) for fault in faults(each, form[0], f"{path}[{n}]")]
    if form in _PLAIN:
        return [] if _PLAIN[form](value) else [f"{path}: {value!r} is no {form}"]
    if not isinstance(value, dict):
        return [f"{path}: no object"]
    known = {name.rstrip("!"): each for name, each in FORMS[form].items()}
    found = [f"{path}: {name} is missing" for name in FORMS[form] if name.endswith("!") and name[:-1] not in value]
    found += [f"{path}: {name} is unknown" for name in value if name not in known]
    return found + [
        fault for name in value if name in known for fault in faults(value[name], known[name], f"{path}.{name}")
    ]
