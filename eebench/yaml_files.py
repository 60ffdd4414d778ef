"""YAML read safely, with numbers as people write them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NoReturn

import yaml

from eebench.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """The safe loader, reading 3e-5 as a number (YAML 1.1 wants 3.0e-5) and refusing a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                twice = f"the key '{key.value}' is there twice"
                raise yaml.constructor.ConstructorError(None, None, twice, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.[\d_]*|\.\d[\d_]*|\d[\d_]*)(?:[eE][-+]?\d+)$"),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; ConfigError when the file is missing, not YAML, or not a mapping."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}."]) from error
    except (yaml.YAMLError, ValueError) as error:
        _refuse(path, error)
    if not isinstance(content, dict):
        raise ConfigError([f"{path} holds no keys; a suite starts with `backbones:`, `tasks:`, `methods:`."])
    return content


def _refuse(path: Path, error: Exception) -> NoReturn:
    """ConfigError with the line and the reason, where the parser knows them."""
    place = getattr(error, "problem_mark", None)
    line = f" line {place.line + 1}" if place is not None else ""
    reason = getattr(error, "problem", None) or " ".join(str(error).split())
    raise ConfigError([f"{path}{line} is not YAML: {reason}."]) from error


def parse_value(text: str) -> Any:
    """A value typed on the command line, read as YAML would: 3e-5, true, [1, 2], soft."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist is a ValueError
        raise ConfigError([f"cannot read the value '{text}'; quote it."]) from error
