from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eebench.errors import DataError
from eebench.tasks.hub import hub_splits
from eebench.tasks.layouts import HubLayout
from eebench.tasks.specs import TaskSpec, task_spec

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def cache_in_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's cache must neither be left behind nor serve an earlier test's rows."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def local(name: str, directory: Path, **changes: Any) -> tuple[TaskSpec, HubLayout]:
    """The named task with its hub data set replaced by a local directory of the same form."""
    spec = task_spec(name)
    assert spec.hub is not None
    layout = replace(spec.hub, path=str(directory), config=None, **changes)
    return replace(spec, sizes={}, hub=layout), layout


def save(directory: Path, split: str, columns: dict[str, list[Any]], names: list[str] | None = None) -> None:
    directory.mkdir(exist_ok=True)
    data = datasets.Dataset.from_dict(columns)
    if names is not None:
        data = data.cast_column("label", datasets.ClassLabel(names=names))
    data.to_parquet(directory / f"{split}-00000-of-00001.parquet")


def test_both_splits_are_loaded(tmp_path: Path):
    for split in ("train", "validation"):
        save(tmp_path / "d", split, {"sentence": ["a ", f"{split}"], "label": [0, 1], "idx": [5, 6]})
    spec, layout = local("sst2", tmp_path / "d")
    splits = hub_splits(spec, layout, ["train", "dev"])
    assert splits["dev"].texts == [("a",), ("validation",)]
    assert splits["train"].labels.tolist() == [0, 1]


def test_label_names_of_the_data_set_decide_the_class(tmp_path: Path):
    pairs = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [0, 1]}
    save(tmp_path / "d", "train", pairs, ["not_entailment", "entailment"])
    spec, layout = local("rte", tmp_path / "d")
    assert hub_splits(spec, layout, ["train"])["train"].labels.tolist() == [1, 0]


def test_label_names_that_are_not_ours_leave_the_numbers(tmp_path: Path):
    save(tmp_path / "d", "train", {"sentence": ["a", "b"], "label": [0, 1]}, ["bad", "good"])
    spec, layout = local("sst2", tmp_path / "d")
    assert hub_splits(spec, layout, ["train"])["train"].labels.tolist() == [0, 1]


def test_text_labels_and_scores(tmp_path: Path):
    save(tmp_path / "t", "train", {"sentence1": ["a"], "sentence2": ["b"], "gold_label": ["entailment"]})
    spec, layout = local("elue-scitail", tmp_path / "t")
    assert hub_splits(spec, layout, ["train"])["train"].labels.tolist() == [1]
    save(tmp_path / "s", "train", {"sentence1": ["a"], "sentence2": ["b"], "label": [3.5]})
    spec, layout = local("stsb", tmp_path / "s")
    assert hub_splits(spec, layout, ["train"])["train"].labels.tolist() == [3.5]


def test_rows_without_a_gold_label_are_dropped(tmp_path: Path):
    save(tmp_path / "d", "train", {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [-1, 2]})
    spec, layout = local("elue-snli", tmp_path / "d")
    assert hub_splits(spec, layout, ["train"])["train"].texts == [("b", "d")]


def test_one_hub_split_is_cut_into_ours(tmp_path: Path):
    texts = [f"review<br />{i}" for i in range(20)]
    save(tmp_path / "d", "train", {"text": texts, "label": [i % 2 for i in range(20)]}, ["neg", "pos"])
    spec, layout = local("elue-imdb", tmp_path / "d")
    splits = hub_splits(spec, layout, ["train", "dev"])
    assert (len(splits["train"]), len(splits["dev"])) == (16, 4)
    assert splits["dev"].labels.sum() == 2
    assert {text for split in splits.values() for (text,) in split.texts} == {
        f"review {i}" for i in range(20)
    }
    assert list(hub_splits(spec, layout, ["dev"])) == ["dev"]


def test_sizes_are_checked(tmp_path: Path):
    save(tmp_path / "d", "train", {"sentence": ["a"], "label": [0]})
    spec, layout = local("sst2", tmp_path / "d")
    with pytest.raises(DataError, match="sst2 train has 1 rows, expected 2"):
        hub_splits(replace(spec, sizes={"train": 2}), layout, ["train"])


def test_missing_column_and_unknown_label(tmp_path: Path):
    save(tmp_path / "d", "train", {"text": ["a"], "label": [7]})
    spec, layout = local("sst2", tmp_path / "d")
    with pytest.raises(DataError, match="no column 'sentence'; the header has text, label"):
        hub_splits(spec, layout, ["train"])
    with pytest.raises(DataError, match="unknown label '7'"):
        hub_splits(spec, replace(layout, text_columns=("text",)), ["train"])


def test_what_cannot_be_loaded_tells_how_to_go_on(tmp_path: Path):
    spec, layout = local("rte", tmp_path / "nowhere")
    with pytest.raises(
        DataError, match=r"for task rte from the hub.*RTE/\{train.tsv,dev.tsv\}.*EEBENCH_DATA"
    ):
        hub_splits(spec, layout, ["train"])


def test_a_split_the_data_set_lacks_is_named(tmp_path: Path):
    save(tmp_path / "d", "train", {"sentence": ["a"], "label": [0]})
    spec, layout = local("sst2", tmp_path / "d")
    with pytest.raises(DataError, match=r'validation.*Unknown split "validation"'):
        hub_splits(spec, layout, ["dev"])


def test_data_sets_that_need_their_own_code_are_refused(tmp_path: Path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "d.py").write_text("raise SystemExit('ran')\n", encoding="utf-8")
    spec, layout = local("sst2", tmp_path / "d")
    with pytest.raises(DataError, match="cannot load"):
        hub_splits(spec, layout, ["train"])
