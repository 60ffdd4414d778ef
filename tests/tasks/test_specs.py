from __future__ import annotations

import subprocess
import sys

import pytest

from eebench.errors import UnknownName, UserError
from eebench.tasks.metrics import METRICS
from eebench.tasks.specs import BUNDLED, CATALOGUE, ELUE, GLUE, TaskSpec, task_names, task_spec

HEAVY = ("torch", "transformers", "pandas", "datasets", "sklearn", "scipy", "matplotlib")


def test_catalogue_has_nine_glue_tasks_one_of_them_twice_six_elue_and_two_bundled_ones():
    assert (len(GLUE), len(ELUE), len(BUNDLED)) == (10, 6, 2)
    assert task_names()[:3] == ["cola", "sst2", "mrpc"]
    assert [spec.group for spec in CATALOGUE.values()] == ["glue"] * 10 + ["elue"] * 6 + ["bundled"] * 2
    assert list(CATALOGUE) == [spec.name for spec in CATALOGUE.values()]


@pytest.mark.parametrize(
    ("name", "metric", "classes"),
    [
        ("cola", "matthews", 2),
        ("sst2", "accuracy", 2),
        ("mrpc", "f1", 2),
        ("qqp", "f1", 2),
        ("stsb", "pearson_spearman", 1),
        ("mnli", "accuracy", 3),
        ("mnli_mm", "accuracy", 3),
        ("qnli", "accuracy", 2),
        ("rte", "accuracy", 2),
        ("wnli", "accuracy", 2),
        ("elue-sst2", "accuracy", 2),
        ("elue-imdb", "accuracy", 2),
        ("elue-mrpc", "acc_f1", 2),
        ("elue-scitail", "accuracy", 2),
        ("elue-snli", "accuracy", 3),
        ("elue-stsb", "pearson_spearman", 1),
        ("rotten_tomatoes", "accuracy", 2),
        ("imdb", "accuracy", 2),
    ],
)
def test_primary_metric_and_classes(name: str, metric: str, classes: int):
    spec = task_spec(name)
    assert (spec.metric, spec.classes, spec.is_regression) == (metric, classes, classes == 1)


@pytest.mark.parametrize("spec", CATALOGUE.values(), ids=list(CATALOGUE))
def test_every_task_is_consistent(spec: TaskSpec):
    columns = len(spec.text_columns)
    assert columns in (1, 2)
    assert spec.splits[:2] == ("train", "dev")
    assert set(spec.sizes) == set(spec.splits)
    assert set(spec.label_aliases.values()) <= set(spec.labels)
    assert spec.title
    for metric in spec.metrics:
        assert METRICS[metric].regression is spec.is_regression
        METRICS[metric].check_classes(spec.classes)
    if spec.hub is not None:
        assert len(spec.hub.text_columns) == columns
        assert spec.hub.splits == spec.splits
    if spec.folder is not None:
        assert len(spec.folder.text_columns) == columns
        assert spec.folder.splits == spec.splits


def test_class_order_is_the_hubs():
    assert task_spec("mnli").labels == ("entailment", "neutral", "contradiction")
    assert task_spec("rte").labels == ("entailment", "not_entailment")
    assert task_spec("wnli").labels == ("not_entailment", "entailment")


def test_mnli_has_a_second_dev_set_as_a_task_of_its_own():
    matched, other = task_spec("mnli"), task_spec("mnli_mm")
    assert (matched.sizes["dev"], other.sizes["dev"]) == (9_815, 9_832)
    assert matched.sizes["train"] == other.sizes["train"] and matched.labels == other.labels
    assert matched.hub.hub_splits["dev"] == "validation_matched"
    assert other.hub.hub_splits["dev"] == "validation_mismatched" and other.hub.config == "mnli"
    assert (matched.trained_as, matched.dev_split) == ("mnli", "dev")
    assert (other.trained_as, other.dev_split) == ("mnli", "mnli_mm")


def test_a_task_can_have_another_headline():
    task = task_spec("mrpc").headlined("acc_f1")
    assert task.metrics == ("acc_f1", "f1", "accuracy") and task.metric == "acc_f1"
    with pytest.raises(
        UserError, match=r"task 'mrpc' has no metric 'pearson'; it has f1, accuracy, acc_f1\."
    ):
        task_spec("mrpc").headlined("pearson")


def test_a_spec_without_sources_has_no_splits():
    assert TaskSpec("x", "file", ("a",), (), ("pearson",)).splits == ()


def test_unknown_task_suggests_the_closest_and_names_the_place():
    with pytest.raises(UnknownName, match=r"unknown task 'rtee' in glue.yaml; did you mean 'rte'\?"):
        task_spec("rtee", "glue.yaml")


def test_importing_tasks_loads_nothing_heavy():
    code = f"import sys, eebench.tasks; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
