"""Start in a fresh interpreter, under a private package name: the project's Python needs no ckptlint installed."""

import importlib
import importlib.util
import sys
from pathlib import Path

PACKAGE = "_ckptlint_child"


def start(exchange: str) -> None:
    """Build what `exchange/request.json` asks for; `exchange` is a folder shared with the parent."""
    folder = Path(__file__).parent
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise SystemExit(f"{folder} is not a package")
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)
    importlib.import_module(f"{PACKAGE}.session").run(Path(exchange))


if __name__ == "__main__":
    start(sys.argv[1])
