from pathlib import Path

import pytest
import yaml

from eebench.errors import ConfigError, UserError
from eebench.overrides import Overrides
from eebench.suites import load_suite

MOODS = {"name": "moods", "train": "train.csv", "dev": "dev.csv", "text": ["sentence"], "label": "label"}
FILE = {
    "name": "mine",
    "backbones": ["toy"],
    "tasks": ["cola", MOODS],
    "seeds": [1, 2],
    "defaults": {"epochs": 2},
    "task_defaults": {"cola": {"lr": 1e-3}, "moods": {"lr": 2e-3}},
    "metrics": {"cola": "accuracy"},
    "methods": [
        "finetune",
        {"name": "first-k", "each": {"k": [1, 2]}},
        {"name": "pabee", "task_options": {"cola": {"epochs": 3}}},
        {"name": "joint", "tasks": ["cola"], "seeds": [7]},
    ],
    "sections": [{"kind": "comparison", "control": "finetune", "tasks": ["cola"], "methods": ["joint"]}],
}  # fmt: skip


@pytest.fixture
def load(toy_suite):
    """`load(tasks=["moods"])` is the suite above with those changes."""

    def make(**changes):
        Path("mine.yaml").write_text(yaml.safe_dump(FILE))
        return load_suite("mine.yaml", Overrides(**changes))

    return make


def labels(suite):
    return [choice.label for choice in suite.choices]


def test_nothing_changed_is_the_suite_itself(load):
    suite = load()
    assert (suite.name, suite.overrides) == ("mine", {})
    assert labels(suite) == ["finetune", "first-1", "first-2", "pabee", "joint"] and len(suite.sections) == 1
    assert load(name="other").name == "other"


def test_a_task_takes_with_it_all_that_belongs_to_it(load):
    suite = load(tasks=["moods"])
    assert [task.name for task in suite.tasks] == ["moods"] and suite.sections == []
    assert labels(suite) == ["finetune", "first-1", "first-2", "pabee"]  # joint is for cola alone
    assert suite.choices[0].options_for("moods", "toy").lr == 2e-3
    assert (suite.name, suite.overrides) == ("mine-moods", {"tasks": ["moods"]})
    # a known task that the suite does not have
    both = load(tasks=["rte", "cola"])
    assert [task.name for task in both.tasks] == ["rte", "cola"]
    assert both.choices[-1].label == "joint" and both.choices[-1].tasks == {"rte", "cola"}
    assert load(tasks=["cola"]).tasks[0].metric == "accuracy" and len(load(tasks=["cola"]).sections) == 1


def test_methods_by_label_by_name_and_new_ones(load):
    assert labels(load(methods=["first-2", "pabee"])) == ["first-2", "pabee"]
    assert labels(load(methods=["first-k"])) == ["first-1", "first-2"]
    suite = load(methods=["deebert", "finetune"])
    assert (
        labels(suite) == ["finetune", "deebert"] and suite.choices[1].options.epochs == 2
    )  # the suite's defaults
    assert suite.sections == []
    with pytest.raises(ConfigError, match="unknown method 'pabbe' .*did you mean 'pabee'"):
        load(methods=["pabbe"])


def test_seeds_hold_for_every_method(load):
    suite = load(seeds=[5, 6])
    assert {tuple(suite.seeds_of(choice)) for choice in suite.choices} == {(5, 6)}
    assert suite.name == "mine-seed-5-seed-6"


def test_options_win_over_everything_and_reach_those_who_have_them(load):
    suite = load(options={"epochs": 9})
    assert {
        choice.options_for(task, "toy").epochs for choice in suite.choices for task in ("cola", "moods")
    } == {9}
    assert suite.name == "mine-epochs-9"
    alpha = load(options={"alpha": 0.25}, methods=["gaml", "finetune"])
    assert {choice.label: getattr(choice.options, "alpha", None) for choice in alpha.choices} == {
        "finetune": None, "gaml": 0.25,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="unknown key 'epohcs' in --set; did you mean 'epochs'"):
        load(options={"epohcs": 1})
    with pytest.raises(ConfigError, match=r"lr.* in --set|--set.*lr"):
        load(options={"lr": "fast"})


def test_names_of_changed_results(load):
    assert load(backbones=["minilm-l6"]).name == "mine-minilm-l6"
    assert load(options={"head": {"pooler": "none"}}).name == "mine-head.pooler-none"
    assert Overrides(backbones=["./a/b"], tasks=["moods"]).name_of("mine") == "mine-.-a-b-moods"
    many = Overrides(seeds=range(30)).name_of("mine")
    assert many.startswith("mine-") and len(many) == len("mine-") + 8
    assert many != Overrides(seeds=range(31)).name_of("mine")
    with pytest.raises(UserError, match="--name mine: the results of the unchanged suite are called so"):
        load(seeds=[3], name="mine")
    assert load(seeds=[3], name="tried").name == "tried"


def test_a_suite_of_mistakes_is_refused_as_ever(load):
    Path("broken.yaml").write_text("backbones: toy\ntasks: 3\nmethods: {a: 1}\n")
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        load_suite("broken.yaml", Overrides(tasks=["cola"], seeds=[1]))
    with pytest.raises(ConfigError, match="unknown task 'colaa'"):
        load(tasks=["colaa"])
