"""Names of one thing: protocols 0 to 2 call Python 3's modules and functions by their Python 2 names."""

from __future__ import annotations

from typing import Final

_MODULES: Final = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "exceptions": "builtins",
    "cPickle": "pickle",
    "cStringIO": "io",
    "StringIO": "io",
    "Queue": "queue",
    "ConfigParser": "configparser",
    "SocketServer": "socketserver",
    "UserDict": "collections",
    "UserList": "collections",
    "UserString": "collections",
    "repr": "reprlib",
    "thread": "_thread",
    "dummy_thread": "_dummy_thread",
    "whichdb": "dbm",
    "anydbm": "dbm",
    "dbhash": "dbm.bsd",
    "dumbdb": "dbm.dumb",
    "gdbm": "dbm.gnu",
    "Tkinter": "tkinter",
    "urllib2": "urllib.request",
    "urlparse": "urllib.parse",
    "httplib": "http.client",
    "HTMLParser": "html.parser",
    "Cookie": "http.cookies",
    "cookielib": "http.cookiejar",
    "BaseHTTPServer": "http.server",
    "commands": "subprocess",
    "markupbase": "_markupbase",
    "xmlrpclib": "xmlrpc.client",
    "torch.tensor": "torch._tensor",  # moved in torch 1.9, not by Python
}
_NAMES: Final = {
    ("__builtin__", "xrange"): ("builtins", "range"),
    ("__builtin__", "unicode"): ("builtins", "str"),
    ("__builtin__", "long"): ("builtins", "int"),
    ("__builtin__", "unichr"): ("builtins", "chr"),
    ("__builtin__", "reduce"): ("functools", "reduce"),
    ("__builtin__", "intern"): ("sys", "intern"),
    ("itertools", "izip"): ("builtins", "zip"),
    ("itertools", "imap"): ("builtins", "map"),
    ("itertools", "ifilter"): ("builtins", "filter"),
    ("UserDict", "IterableUserDict"): ("collections", "UserDict"),
}


def modern(module: str, name: str) -> tuple[str, str]:
    """Return the Python 3 name of a global; what has only one name is returned as it is."""
    return _NAMES.get((module, name)) or (_MODULES.get(module, module), name)
