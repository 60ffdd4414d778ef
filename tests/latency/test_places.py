import pytest
import torch

from eebench.engine.execute import Executor
from eebench.errors import ConfigError, DataError, UserError
from eebench.latency.places import Wanted, trained_places
from eebench.plan import Planner
from eebench.store import Store
from eebench.suites import load_suite


@pytest.fixture
def places(toy_suite):
    """`places({"method": {"pabee"}})` looks for the runs of the suite of five methods and two seeds."""
    executor = Executor(Store(toy_suite.parent / "runs"), torch.device("cpu"))

    def look(only=None, rules=(), train=()):
        planner, suite = Planner(None, "fp32"), load_suite("moods.yaml")
        if train:
            for cell in planner.plan(suite, {"method": set(train), "seed": {"1"}}).cells:
                executor.ensure_trained(cell.job)
        return trained_places(Wanted(suite, only or {}, rules), planner, executor)

    return look


def test_what_is_not_trained_is_named_with_the_command(places):
    with pytest.raises(UserError) as caught:
        places({"method": {"pabee"}}, train=["finetune"])
    assert str(caught.value) == (
        "not trained yet: pabee on moods, toy, seed 1.  "
        "`eebench sweep --suite moods --only method=pabee,task=moods,backbone=toy` trains what is missing."
    )


def test_the_full_model_comes_with_any_method(places):
    (place,) = places({"method": {"pabee"}}, train=["finetune", "pabee"])
    assert (place.reference.method.name, place.reference.seed) == ("finetune", 1)
    (candidate,) = place.candidates
    assert (candidate.label, candidate.rules) == ("pabee", {"patience": None})
    (place,) = places({"method": {"pabee"}}, rules=["entropy", "max-prob"])
    assert place.candidates[0].rules == {"entropy": [0.0, 0.3, 0.6], "max-prob": None}
    (place,) = places({"method": {"pabee"}}, rules=["patient-confident;t=3"])
    assert place.candidates[0].rules == {"patient-confident;t=3": None}
    (place,) = places({"method": {"finetune"}})
    assert place.candidates == []


def test_a_method_is_named_by_its_label_or_its_name(places):
    (place,) = places({"method": {"first-k"}}, train=["finetune", "first-1"])
    assert [candidate.label for candidate in place.candidates] == ["first-1"]
    with pytest.raises(ConfigError, match="--only method=pabbe: not in suite 'moods'"):
        places({"method": {"pabbe"}})


def test_a_suite_without_the_full_model(places, toy_suite):
    toy_suite.write_text(toy_suite.read_text().replace("  - finetune\n", ""), encoding="utf-8")
    with pytest.raises(UserError, match="has no finetune, .*add `- finetune` to its methods"):
        places({"method": {"pabee"}}, train=["pabee"])


def test_a_search_that_has_not_been_made(places, toy_suite):
    text = toy_suite.read_text() + "search: {lr: [1e-3, 5e-3]}\n"
    toy_suite.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="has not found them yet; `eebench sweep --suite moods` does"):
        places()


def test_data_that_are_not_there(places, toy_suite):
    (toy_suite.parent / "train.csv").unlink()
    with pytest.raises(DataError, match=r"train\.csv"):
        places()
