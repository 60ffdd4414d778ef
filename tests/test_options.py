import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from eebench.errors import ConfigError
from eebench.heads import HeadConfig
from eebench.methods.catalogue import BUILT_IN, find_method
from eebench.options import describe, merge, parse_assignments, place_of, resolve_options


def test_what_is_given_replaces_the_defaults_of_the_method():
    options = resolve_options(find_method("pabee"), {"lr": 1, "head": {"pooler": "none"}}, "--set")
    assert (options.lr, options.epochs, options.head.pooler, options.head.dropout) == (1.0, 5, "none", 0.1)


def test_every_mistake_is_reported_with_place_and_suggestion():
    given = {
        "epoch": 2, "lr": "fast", "batch_size": 0, "select": "first", "epochs": 2.5,
        "head": {"poler": "none", "pooling": "max"},
    }  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        resolve_options(find_method("joint"), given, "--set (joint)")
    problems = {problem.split(";")[0] for problem in caught.value.problems}
    known = ", ".join(HeadConfig.model_fields)
    assert "unknown key 'epoch' in --set (joint)" in problems
    assert "--set (joint): lr: Input should be a valid number (got 'fast')." in problems
    assert "--set (joint): batch_size: Input should be greater than or equal to 1 (got 0)." in problems
    assert "--set (joint): select: Input should be 'last' or 'best' (got 'first')." in problems
    assert "--set (joint): epochs: Input should be a valid integer (got 2.5)." in problems
    assert "--set (joint): head.pooling: Input should be 'cls' or 'mean' (got 'max')." in problems
    assert f"unknown key 'head.poler' in --set (joint); did you mean 'pooler'?  known: {known}." in str(
        caught.value
    )
    assert len(problems) == 7


@pytest.mark.parametrize("method", ["joint", "pabee", "deebert", "gaml"])
def test_a_method_with_its_own_default_keeps_the_bounds(method):
    given = {"epochs": 0, "batch_size": 0, "warmup_share": 2, "weight_decay": -1, "holdout": 1}
    with pytest.raises(ConfigError) as caught:
        resolve_options(find_method(method), given, "--set")
    assert sorted(problem.split(":")[1].strip() for problem in caught.value.problems) == sorted(given)


def test_a_methods_own_check_speaks_without_preamble():
    with pytest.raises(ConfigError, match=r"^--set \(csdbert\): head: csdbert has heads of its own"):
        resolve_options(find_method("csdbert"), {"head": {"pooler": "shared"}}, "--set (csdbert)")


@pytest.mark.parametrize("name", [method.name for method in BUILT_IN])
def test_what_is_not_said_about_the_head_stays_the_methods(name):
    method = find_method(name)
    found = resolve_options(method, {"head": {"pooling": "mean", "dropout": 0.25}}, "--set").head
    assert found == method.options_type().head.model_copy(update={"pooling": "mean", "dropout": 0.25})


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    parts: list[Inner]


def test_places_are_written_as_in_the_file():
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"parts": [{"size": 1}, {}]})
    assert list(describe(caught.value, Outer, "here")) == ["missing key 'parts[1].size' in here."]
    assert place_of(("parts", 1, "size")) == "parts[1].size" and place_of(("a", "b")) == "a.b"


def test_assignments_nest_at_dots():
    texts = ["lr=3e-5", "head.pooling=mean", "head.pooler=none", "ga=soft", "lr=1e-4", "patience=null"]
    assert parse_assignments(texts) == {
        "lr": 1e-4, "head": {"pooling": "mean", "pooler": "none"}, "ga": "soft", "patience": None,
    }  # fmt: skip
    assert parse_assignments([]) == {}
    assert parse_assignments(["head=3", "head.pooler=none"]) == {"head": {"pooler": "none"}}
    assert parse_assignments(["head.pooler=none", "head=3"]) == {"head": 3}


def test_malformed_assignments_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        parse_assignments(["lr", "epochs=2", "=3"])
    assert caught.value.problems == [
        f"--set {text}: write it as key=value, for example --set lr=3e-5." for text in ("lr", "=3")
    ]


def test_later_layers_win_and_nothing_given_is_changed():
    first, second = {"lr": 1, "head": {"a": 1, "b": 1}}, {"head": {"b": 2}, "new": 3}
    assert merge(first, second, {"lr": 4}) == {"lr": 4, "head": {"a": 1, "b": 2}, "new": 3}
    assert first == {"lr": 1, "head": {"a": 1, "b": 1}}
    assert merge({"head": 1}, {"head": {"a": 1}}) == {"head": {"a": 1}}
    assert merge() == {}
