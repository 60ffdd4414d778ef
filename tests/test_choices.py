import pytest

from eebench.choices import MethodChoice, Tuned
from eebench.errors import ConfigError
from eebench.methods.catalogue import find_method
from eebench.options import resolve_options


@pytest.fixture
def gaml():
    """GAML with alpha 0.3, 0.5 on rte, and a search over two keys."""
    method = find_method("gaml")
    options, special = (resolve_options(method, {"alpha": alpha}, "test") for alpha in (0.3, 0.5))
    searched = {"lr": [1e-5, 2e-5], "batch_size": [16, 32]}
    return MethodChoice(
        label="gaml", method=method, options=options, by_task={"rte": special}, searched=searched
    )


def test_a_task_has_its_own_options(gaml):
    assert gaml.options_for("cola", "toy").alpha == 0.3 and gaml.options_for("rte", "toy").alpha == 0.5
    assert gaml.options_for("rte", "toy") is gaml.by_task["rte"]


def test_configurations_are_all_combinations_in_order(gaml):
    assert gaml.configurations == [
        {"lr": 1e-5, "batch_size": 16}, {"lr": 1e-5, "batch_size": 32},
        {"lr": 2e-5, "batch_size": 16}, {"lr": 2e-5, "batch_size": 32},
    ]  # fmt: skip
    assert gaml.model_copy(update={"searched": {}}).configurations == [{}]


def test_what_a_search_chose_holds_for_its_task_and_backbone_alone(gaml):
    tuned = gaml.model_copy(update={"tuned": {("rte", "toy"): Tuned(values={"lr": 7e-5})}})
    found = tuned.options_for("rte", "toy")
    assert (found.lr, found.alpha, type(found)) == (7e-5, 0.5, type(gaml.options))
    assert tuned.options_for("rte", "bert").lr == tuned.options_for("cola", "toy").lr == 2e-5


def test_values_leave_everything_else_as_if_written_in_the_options(gaml):
    written = resolve_options(gaml.method, {"alpha": 0.3, "head": {"pooler": "none"}, "lr": 1e-3}, "test")
    assert gaml.with_values("cola", {"head": {"pooler": "none"}, "lr": 1e-3}) == written


@pytest.mark.parametrize("name", ["theseus", "cascade"])
def test_needed_runs_are_those_of_the_same_values_written_in_the_options(name):
    """A search makes no default of the method a given option, which a needed run would take over."""
    method, values = find_method(name), {"lr": 1e-4, "head": {"dropout": 0.2}}
    choice = MethodChoice(label=name, method=method, options=resolve_options(method, {}, "test"))
    assert method.needs(choice.with_values("rte", values)) == method.needs(
        resolve_options(method, values, "t")
    )


def test_values_that_do_not_fit_are_refused(gaml):
    with pytest.raises(ConfigError, match=r"search \(gaml\): lr: Input should be greater than 0"):
        gaml.with_values("cola", {"lr": -1.0})


def test_the_rule_reports_show(gaml):
    assert gaml.default_rule == "patience"
    assert gaml.model_copy(update={"rule": "entropy"}).default_rule == "entropy"
