"""Key to source line on 16 models of transformers: by syntax, compared with what registers each key when the model is built on meta.

    python benchmarks/where.py --install FOLDER     # a venv of its own with transformers; torch is that of this interpreter
    FOLDER/bin/python benchmarks/where.py           # the comparison: per model, and of all keys
    FOLDER/bin/python benchmarks/where.py --gate    # rename an attribute in a copied class of each: is it caught, at its line?

A key is right where the line that registered it last, outside of torch, is in the statement that is named. The oracle is
`tests/source/where_oracle.py`: `nn.Module.__setattr__`, `register_buffer`, `register_parameter` and `add_module` wrapped.
"""

from __future__ import annotations

import argparse
import ast
import functools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "source")]
MODELS = [
    *[
        "llama",
        "bert",
        "gpt2",
        "t5",
        "vit",
        "clip",
        "whisper",
        "qwen2_vl",
        "mixtral",
        "resnet",
        "convnext",
        "swin",
        "deberta-v2",
        "wav2vec2",
        "opt",
        "mamba",
    ]
]


def install(folder: Path) -> None:
    import torch

    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (folder / "constraints.txt").write_text(f"torch=={torch.__version__}\n")
    site = next(folder.glob("lib/python3*/site-packages"))
    (site / "torch_of_the_caller.pth").write_text(str(Path(torch.__file__).parent.parent))
    pip = [folder / "bin" / "python", "-m", "pip", "install", "-q", "-c", folder / "constraints.txt"]
    subprocess.run([*pip, "transformers"], check=True)


def built(name: str) -> tuple[Any, dict[str, str], dict[str, Any]]:
    """The model on meta, its modules' classes, and the line that defines each key."""
    import torch
    import transformers
    from where_oracle import truths, watched

    from ckptlint.source.child.describing import class_of

    config = transformers.AutoConfig.for_model(name)
    with watched() as seen, torch.device("meta"):
        model = transformers.AutoModel.from_config(config)
    modules = {path: class_of(module) for path, module in model.named_modules(remove_duplicate=False)}
    return model, modules, dict(truths(model, seen))


@functools.cache
def statements(path: str) -> list[ast.stmt]:
    return [
        each
        for each in ast.walk(ast.parse(Path(path).read_text()))
        if isinstance(each, ast.stmt) and not hasattr(each, "body")
    ]


def holds(folder: str, place: Any, line: Any) -> bool:
    around = [each for each in statements(line.file) if each.lineno <= line.line <= each.end_lineno]
    return os.path.join(folder, place.path) == line.file and any(
        each.lineno <= place.line and place.end_line <= each.end_lineno for each in around
    )


def finder(modules: dict[str, str], model: Any, changed: dict[str, bytes] | None = None) -> tuple[Any, str]:
    import transformers

    from ckptlint.source.where.folders import reader
    from ckptlint.source.where.keys import Keys
    from ckptlint.source.where.library import Library, Root

    folder = os.path.dirname(os.path.dirname(transformers.__file__))
    read = reader(folder)
    root = Root(lambda path: (changed or {}).get(path) or read(path), "")
    names = frozenset(key for key, _ in model.named_parameters(remove_duplicate=False))
    return Keys(Library([root]), modules, parameters=names), folder


def compare() -> None:
    total = right = 0
    for name in MODELS:
        model, modules, truth = built(name)
        keys, folder = finder(modules, model)
        wrong = {}
        for key in model.state_dict():
            found, line = keys.definition(key), truth.get(key)
            if found is None or line is None or not holds(folder, found.place, line):
                wrong[key] = f"{found and found.place}, and not {line and line.line}".replace(folder, "")
        count = len(model.state_dict())
        total, right = total + count, right + count - len(wrong)
        print(f"{name:12} {count - len(wrong):5} of {count:5}", *list(wrong.items())[:2])
    print(f"all          {right:5} of {total:5}: {100 * right / total:.2f} %")


def gate() -> None:
    """Rename an attribute in the text of the class that owns a middle key: the fingerprint must say so, at the line of the new name."""
    from ckptlint.core.schema import Schema
    from ckptlint.core.spec import TensorSpec
    from ckptlint.source.where.changes import changes
    from ckptlint.source.where.fingerprints import Fingerprint, fingerprints

    caught = 0
    for name in MODELS:
        model, modules, _ = built(name)
        keys, folder = finder(modules, model)
        found = [
            each
            for key in list(model.state_dict())[5:]
            if (each := keys.definition(key)) and re.match(r"\w+: self\.\w+ = ", each.place.said)
        ]
        place = found[len(found) // 2].place
        owner, attribute = re.match(r"(\w+): self\.(\w+) = ", place.said).groups()
        schema = Schema({key: TensorSpec.parse("f32[1]") for key in model.state_dict()}, modules=modules)
        prints = fingerprints(schema, keys.library)
        relative = place.path
        lines = Path(folder, place.path).read_text().split("\n")
        lines[place.line - 1] = lines[place.line - 1].replace(f"self.{attribute} =", f"self.{attribute}_renamed =")
        after, _ = finder(modules, model, {relative: "\n".join(lines).encode()})
        module = after.library.module(relative.removesuffix(".py").replace(os.sep, "."))
        locked = {
            each.removeprefix(f"{module.name}."): Fingerprint.parse(text)
            for each, text in prints.items()
            if each.startswith(f"{module.name}.")
        }
        seen = [(each.check, each.what, each.node.lineno) for each in changes(module, locked, after.library)]
        hit = ("registration-gone", f"{owner}.{attribute}") in [each[:2] for each in seen]
        exact = ("registration-new", f"{owner}.{attribute}_renamed", place.line) in seen
        caught += hit and exact
        print(
            f"{name:12} {owner}.{attribute}: {'caught' if hit else 'NOT caught'}, {'at its line' if exact else f'not at its line: {seen}'}"
        )
    print(f"caught at the right line: {caught} of {len(MODELS)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", type=Path)
    parser.add_argument("--gate", action="store_true")
    given = parser.parse_args()
    if given.install:
        install(given.install)
    elif given.gate:
        gate()
    else:
        compare()


if __name__ == "__main__":
    main()
