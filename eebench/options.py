"""Hyper-parameters as typed by people: merged over a method's defaults, checked all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from eebench.errors import ConfigError, closest
from eebench.methods.base import Method
from eebench.training.options import TrainingOptions
from eebench.yaml_files import parse_value


def resolve_options(method: Method, given: Mapping[str, Any], where: str) -> TrainingOptions:
    """The method's options with `given` in place of defaults; ConfigError with every problem found."""
    # A method that gives a shared option another default loses the bounds written beside the first one, so
    # shared options are held against both classes.
    shared = {key: value for key, value in given.items() if key in TrainingOptions.model_fields}
    problems = _problems(TrainingOptions, shared, where) + _problems(method.options_type, given, where)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return method.options_type.model_validate(dict(given), strict=True)


def _problems(model: type[BaseModel], given: Mapping[str, Any], where: str) -> list[str]:
    try:
        model.model_validate(dict(given), strict=True)
    except ValidationError as error:
        return list(describe(error, model, where))
    return []


def describe(error: ValidationError, model: type[BaseModel], where: str) -> Iterator[str]:
    """One line per problem: where, what, and a suggestion for a misspelt key."""
    for problem in error.errors():
        key = place_of(problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = _keys_at(model, problem["loc"][:-1])
            suggestion = closest(str(problem["loc"][-1]), known)
            hint = f"did you mean '{suggestion}'?  " if suggestion else ""
            yield f"unknown key '{key}' in {where}; {hint}known: {', '.join(known)}."
        elif problem["type"] == "missing":
            yield f"missing key '{key}' in {where}."
        else:
            reason = problem["msg"].removeprefix("Value error, ")
            yield f"{where}: {key}: {reason} (got {problem['input']!r})."


def place_of(path: tuple[int | str, ...]) -> str:
    """A path as people write it: ("labels", 0, "name") -> "labels[0].name"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _keys_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field is not None else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return list(model.model_fields)


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
