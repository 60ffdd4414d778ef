from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eebench.errors import DataError
from eebench.tasks.rows import (
    Row,
    accepted_labels,
    build_split,
    check_size,
    find_column,
    read_text,
    tab_separated,
)
from eebench.tasks.specs import task_spec

RTE = task_spec("rte")


def test_read_text_drops_the_byte_order_mark(tmp_path: Path):
    path = tmp_path / "a.tsv"
    path.write_bytes(b"\xef\xbb\xbfa\r\n")
    assert read_text(path) == "a\r\n"


def test_read_text_names_the_line_that_is_not_utf8(tmp_path: Path):
    path = tmp_path / "a.tsv"
    path.write_bytes("ok\nok\ncaf\xe9\n".encode("latin1"))
    with pytest.raises(DataError, match=r"a\.tsv:3: not UTF-8 \(byte 0xe9\)"):
        read_text(path)


def test_read_text_of_a_missing_file(tmp_path: Path):
    with pytest.raises(DataError, match=r"cannot read .*a\.tsv: No such file"):
        read_text(tmp_path / "a.tsv")


def test_tab_separated_honours_no_quotes_and_breaks_at_line_feeds_only(tmp_path: Path):
    path = tmp_path / "a.tsv"
    path.write_bytes('a "b\tc\r\n\n"d\u2028e\x0bf\tg\rh'.encode())
    assert tab_separated(path) == [(1, ['a "b', "c"]), (3, ['"d\u2028e\x0bf', "g\rh"])]


def test_find_column_takes_the_first_known_name():
    assert find_column(["x", "label", "Quality"], ["Quality", "label"], "f:1") == 2
    assert find_column(["x", "label"], ["Quality", "label"], "f:1") == 1
    with pytest.raises(DataError, match="f:1: no column 'Quality' or 'label'; the header has x, y"):
        find_column(["x", "y"], ["Quality", "label"], "f:1")


def test_accepted_labels_are_names_aliases_and_digits():
    assert accepted_labels(RTE) == {"entailment": 0, "not_entailment": 1, "0": 0, "1": 1}
    assert accepted_labels(RTE, digits=False) == {"entailment": 0, "not_entailment": 1}
    assert accepted_labels(task_spec("elue-scitail"))["entailment"] == 1


def test_labels_that_are_numbers_are_never_places():
    assert accepted_labels(replace(RTE, labels=("1", "2"))) == {"1": 0, "2": 1}


def test_build_split_trims_texts_and_numbers_rows():
    split = build_split(RTE, [Row(2, (" a ", "b"), "1"), Row(3, ("c", "d "), "entailment ")], "f")
    assert split.texts == [("a", "b"), ("c", "d")]
    assert split.labels.tolist() == [1, 0]
    assert split.labels.dtype == np.int64
    assert split.ids.tolist() == [0, 1]


def test_build_split_replaces_html_breaks_only_where_asked():
    row = Row(2, ("One.<br /><br />Two.<BR>Three.",), "1")
    assert build_split(task_spec("imdb"), [row], "f").texts == [("One. Two. Three.",)]
    assert build_split(task_spec("sst2"), [row], "f").texts == [row.texts]


def test_build_split_refuses_no_rows_empty_texts_and_unknown_labels():
    with pytest.raises(DataError, match="f: no rows; expected examples of rte"):
        build_split(RTE, [], "f")
    with pytest.raises(DataError, match="f:7: the text is empty"):
        build_split(RTE, [Row(7, (" ", ""), "1")], "f")
    with pytest.raises(DataError, match="f:7: unknown label 'maybe'; expected one of entailment, not_entail"):
        build_split(RTE, [Row(7, ("a", "b"), "maybe")], "f")


def test_one_text_of_a_pair_may_be_empty():
    assert build_split(RTE, [Row(2, ("a", ""), "1")], "f").texts == [("a", "")]


def test_scores_are_float32_within_their_range():
    spec = task_spec("stsb")
    split = build_split(spec, [Row(2, ("a", "b"), "5.000"), Row(3, ("a", "b"), "0.2")], "f")
    assert split.labels.tolist() == [5.0, np.float32(0.2)]
    assert split.labels.dtype == np.float32
    for wrong in ("5.1", "-1", "nan", "high"):
        with pytest.raises(DataError, match=f"f:9: unknown score '{wrong}'; expected a number from 0 to 5"):
            build_split(spec, [Row(9, ("a", "b"), wrong)], "f")
    with pytest.raises(DataError, match=r"expected a number. Correct the row"):
        build_split(replace(spec, label_range=None), [Row(9, ("a", "b"), "inf")], "f")


def test_sizes_must_be_the_known_ones():
    check_size(RTE, "train", 2_490, "f")
    check_size(replace(RTE, sizes={}), "train", 3, "f")
    check_size(task_spec("qqp"), "train", 363_849, "f")
    with pytest.raises(DataError, match="has 363,850 rows, expected 363,846"):
        check_size(task_spec("qqp"), "train", 363_850, "f")


def test_a_wrong_size_comes_with_its_likely_cause():
    with pytest.raises(
        DataError, match=r"f: mrpc train has 3,570 rows, expected 3,668; the copy is cut.*quotes"
    ):
        check_size(task_spec("mrpc"), "train", 3_570, "f")
    with pytest.raises(DataError, match="holds more than this split"):
        check_size(RTE, "dev", 554, "f")
    with pytest.raises(
        DataError, match="this is the size of sst2: point --data-dir at the files of elue-sst2"
    ):
        check_size(task_spec("elue-sst2"), "train", 67_349, "f")
