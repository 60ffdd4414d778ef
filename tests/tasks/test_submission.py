"""Files for GLUE's leaderboard: what is read of its test sets, and how answers are written."""

import os
from pathlib import Path

import pytest

from eebench.errors import DataError, UserError
from eebench.tasks.specs import CATALOGUE
from eebench.tasks.submission import (
    TEST_SETS,
    TestSet,
    read_test_set,
    submission_text,
    unlabelled_sets,
    written,
)

REAL = os.environ.get("EEBENCH_DATA")  # read before the environment is cleared


def test_every_task_of_glue_has_its_files():
    glue = {name for name, spec in CATALOGUE.items() if spec.group == "glue" and not spec.dev_of}
    assert set(TEST_SETS) == glue
    files = [which.file for sets in TEST_SETS.values() for which in sets]
    assert len(set(files)) == 10 and {"MNLI-m.tsv", "MNLI-mm.tsv", "STS-B.tsv", "SST-2.tsv"} < set(files)
    with pytest.raises(UserError, match="'imdb' is no task of GLUE's leaderboard; those are cola, sst2"):
        unlabelled_sets("imdb")


@pytest.mark.parametrize(
    ("task", "label", "expected"),
    [
        ("rte", "not_entailment", "not_entailment"), ("mnli", "neutral", "neutral"), ("mrpc", "equivalent", "1"),
        ("cola", "unacceptable", "0"), ("sst2", "positive", "1"), ("wnli", "entailment", "1"),
        ("qqp", "duplicate", "1"), ("stsb", "2.71828", "2.718"), ("stsb", "-0.3", "0.000"), ("stsb", "5.2", "5.000"),
    ],
)  # fmt: skip
def test_answers_are_written_as_the_leaderboard_takes_them(task, label, expected):
    assert written(task, label) == expected


def test_rows_keep_their_order_and_indices():
    assert submission_text("mrpc", ["4", "2"], ["equivalent", "not_equivalent"]) == (
        "index\tprediction\n4\t1\n2\t0\n"
    )


def small(folder, name, text, source="test.tsv"):
    place = folder / name
    place.mkdir()
    (place / "dev.tsv").write_text("x\n", encoding="utf-8")
    (place / source).write_text(text, encoding="utf-8")


def test_texts_are_found_by_their_header(tmp_path):
    small(
        tmp_path, "MRPC", 'index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\tA "b\ta c\n1\t3\t4\td\te\r\n'
    )
    found = read_test_set("mrpc", TestSet("test.tsv", "MRPC.tsv", 2), tmp_path)
    assert found.indices == ["0", "1"] and found.texts == [('A "b', "a c"), ("d", "e")]
    small(tmp_path, "CoLA", "index\tsentence\n7\tHe left.\n")
    assert read_test_set("cola", TestSet("test.tsv", "CoLA.tsv", 1), tmp_path).texts == [("He left.",)]
    small(tmp_path, "QQP", "id\tquestion1\tquestion2\n9\tWhy?\tHow?\n")
    assert read_test_set("qqp", TestSet("test.tsv", "QQP.tsv", 1), tmp_path).indices == ["9"]


def test_files_that_are_no_test_set(tmp_path):
    small(tmp_path, "RTE", "index\tsentence1\tsentence2\n0\ta\tb\n1\ta\n")
    with pytest.raises(DataError, match=r"test.tsv:3: 2 tab-separated fields, the line is cut"):
        read_test_set("rte", TEST_SETS["rte"][0], tmp_path)
    (tmp_path / "RTE" / "test.tsv").write_text("index\tsentence1\tsentence2\n0\ta\tb\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"1 rows, GLUE's test set has 3,000"):
        read_test_set("rte", TEST_SETS["rte"][0], tmp_path)
    (tmp_path / "RTE" / "test.tsv").unlink()
    with pytest.raises(DataError, match="cannot read .*test.tsv"):
        read_test_set("rte", TEST_SETS["rte"][0], tmp_path)
    with pytest.raises(DataError, match="needs RTE/test.tsv of the official GLUE files"):
        read_test_set("rte", TEST_SETS["rte"][0], None)


@pytest.mark.skipif(REAL is None, reason="EEBENCH_DATA names no folder with the official files")
@pytest.mark.parametrize("task", ["cola", "mrpc", "rte", "sst2", "stsb", "wnli"])
def test_the_official_files(task):
    (which,) = unlabelled_sets(task)
    found = read_test_set(task, which, Path(str(REAL)))
    assert len(found.indices) == which.rows and all(text for row in found.texts for text in row)
