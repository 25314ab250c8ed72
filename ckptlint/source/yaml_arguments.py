"""The YAML of `--args`: safe, no duplicate keys, and `1e-3` is a number as everyone expects."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml


class ArgumentLoader(yaml.SafeLoader):
    """PyYAML's safe loader without its two surprises: repeated keys win silently, and `1e-3` is text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  PyYAML's signature
        names = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if names.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
        return super().construct_mapping(node, deep)


ArgumentLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z"), list("-+0123456789.")
)
