"""Hyper-parameters as typed by people: merged over a method's defaults, checked all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from eebench.errors import ConfigError, closest
from eebench.methods.base import Method
from eebench.training.options import TrainingOptions
from eebench.yaml_files import parse_value


def resolve_options(method: Method, given: Mapping[str, Any], where: str) -> TrainingOptions:
    """The method's options with `given` in place of defaults; ConfigError with every problem found."""
    try:
        return method.options_type.model_validate(dict(given), strict=True)
    except ValidationError as error:
        raise ConfigError(list(describe(error, method.options_type, where))) from error


def describe(error: ValidationError, model: type[BaseModel], where: str) -> Iterator[str]:
    """One line per problem: where, what, and a suggestion for a misspelt key."""
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = _keys_at(model, problem["loc"][:-1])
            suggestion = closest(str(problem["loc"][-1]), known)
            hint = f"did you mean '{suggestion}'?  " if suggestion else ""
            yield f"unknown key '{key}' in {where}; {hint}known: {', '.join(known)}."
        elif problem["type"] == "missing":
            yield f"missing key '{key}' in {where}."
        else:
            yield f"{where}: {key}: {problem['msg']} (got {problem['input']!r})."


def _keys_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Keys of the model at `path`; in a union the path names the member that was tried."""
    members: dict[str, type[BaseModel]] = {}
    for part in map(str, path):
        if part in members:
            model = members[part]
        elif part in model.model_fields:
            members = {found.__name__: found for found in _models_in(model.model_fields[part].annotation)}
            model = next(iter(members.values())) if len(members) == 1 else model
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as `list[str | MethodEntry]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def parse_assignments(texts: list[str]) -> dict[str, Any]:
    """`["lr=3e-5", "head.pooling=mean"]` -> {"lr": 3e-5, "head": {"pooling": "mean"}}."""
    options: dict[str, Any] = {}
    problems = []
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            problems.append(f"--set {text}: write it as key=value, for example --set lr=3e-5.")
            continue
        nested = parse_value(value)
        for key in reversed(name.split(".")):
            nested = {key: nested}
        options = merge(options, nested)
    if problems:
        raise ConfigError(problems)
    return options


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries merged, later ones win."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if both else value
    return merged
