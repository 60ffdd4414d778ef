from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from eebench.errors import DataError
from eebench.tasks.folder import expected_layout, find_folder, folder_splits
from eebench.tasks.specs import TaskSpec, task_spec
from eebench.tasks.splits import Split

WriteLayout = Callable[..., TaskSpec]

EXPECTED = {
    "cola": ([("She ran.",), ("Ran she",)], [1, 0]),
    "sst2": ([("a gem",), ("so dull",)], [1, 0]),
    "mrpc": ([("A b", "B a"), ("C", "D")], [1, 0]),
    "qqp": ([("A?", "B?"), ("C?", "D?")], [1, 0]),
    "stsb": ([("A b", "B a"), ("C", "D")], [5.0, 0.25]),
    "mnli": ([("A", "B"), ("C", "D")], [1, 0]),
    "mnli_mm": ([("A", "B"), ("C", "D")], [1, 0]),
    "qnli": ([("Who?", "He."), ("Why?", "No.")], [0, 1]),
    "rte": ([("A b", "B"), ("C", "D")], [0, 1]),
    "wnli": ([("A b", "B"), ("C", "D")], [1, 0]),
}


def read(spec: TaskSpec, data_dir: Path, name: str = "train") -> Split:
    assert spec.folder is not None
    return folder_splits(spec, spec.folder, data_dir, [name])[name]


def rewrite(path: Path, old: str, new: str) -> None:
    content = path.read_bytes().decode()
    assert old in content
    path.write_bytes(content.replace(old, new).encode())


@pytest.mark.parametrize("name", EXPECTED)
def test_every_official_layout_is_read(name: str, tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout(name)
    texts, labels = EXPECTED[name]
    for split_name in spec.splits:
        split = read(spec, tmp_path, split_name)
        assert split.texts == texts
        assert split.labels.tolist() == labels


def test_crlf_files_read_the_same(tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout("rte")
    rewrite(tmp_path / "RTE" / "train.tsv", "\n", "\r\n")
    assert read(spec, tmp_path).labels.tolist() == [0, 1]


def test_a_last_line_without_newline_counts(tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout("cola")
    path = tmp_path / "CoLA" / "dev.tsv"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert len(read(spec, tmp_path, "dev")) == 2


def test_unbalanced_quotes_do_not_join_lines(tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout("wnli", ['0\t"A\tB\t1', '1\tC\t"D"" e\t0', "2\tE\tF\t1"])
    assert read(spec, tmp_path).texts == [('"A', "B"), ("C", '"D"" e'), ("E", "F")]


def test_redistributed_rte_has_other_columns_and_digits(tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout("rte")
    path = tmp_path / "RTE" / "train.tsv"
    path.write_text("sentence1\tsentence2\tlabel\tidx\nA b\tB\t0\t0\nC\tD\t1\t1\n", encoding="utf-8")
    split = read(spec, tmp_path)
    assert split.texts == [("A b", "B"), ("C", "D")]
    assert split.labels.tolist() == [0, 1]


def test_elue_layouts_are_read(tmp_path: Path):
    files = {
        "elue-sst2": ("SST-2", "sentence\tlabel\nGood .\t1\n", [1]),
        "elue-imdb": ("IMDb", "sentence\tlabel\nBad.<br />Bad.\t0\n", [0]),
        "elue-scitail": ("SciTail", "index\tpremise\thypothesis\tlabel\n0\tA\tB\t1\n", [1]),
        "elue-snli": ("SNLI", "\ufeffpremise\thypothesis\tlabel\r\nA\tB\t2\r\n", [2]),
        "elue-stsb": ("STS-B", "sentence1\tsentence2\tlabel\nA\tB\t2.5\n", [2.5]),
    }
    for name, (folder, content, labels) in files.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "dev.tsv").write_bytes(content.encode())
        assert read(replace(task_spec(name), sizes={}), tmp_path, "dev").labels.tolist() == labels


def test_mnli_digits_are_refused_because_their_order_is_not_known(tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout("mnli")
    rewrite(tmp_path / "MNLI" / "train.tsv", "neutral\n", "1\n")
    with pytest.raises(
        DataError, match=r"train\.tsv:2: unknown label '1'; expected one of entailment, neutral"
    ):
        read(spec, tmp_path)


def test_unknown_label_names_file_and_line(tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout("qnli")
    rewrite(tmp_path / "QNLI" / "train.tsv", "not_entailment", "no")
    with pytest.raises(DataError, match=r"train\.tsv:3: unknown label 'no'"):
        read(spec, tmp_path)


def test_missing_column_shows_the_header(tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout("wnli")
    rewrite(tmp_path / "WNLI" / "train.tsv", "sentence2", "other")
    with pytest.raises(
        DataError, match=r"tsv:1: no column 'sentence2' or .*header has index, sentence1, other"
    ):
        read(spec, tmp_path)


def test_short_row_names_the_line(tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout("rte", ["0\tA\tB\tentailment", "1\tC only"])
    with pytest.raises(DataError, match=r"train\.tsv:3: 2 tab-separated fields, expected 4 or more"):
        read(spec, tmp_path)


def test_qqp_rows_with_missing_fields_are_left_out(tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout("qqp", ["0\t1\t2\tA?\tB?\t1", "1\t3\t4\tC?"], sizes={})
    assert read(spec, tmp_path).texts == [("A?", "B?")]


@pytest.mark.parametrize("content", [b"", b"index\tsentence1\tsentence2\tlabel\n"])
def test_empty_file(content: bytes, tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout("rte")
    (tmp_path / "RTE" / "train.tsv").write_bytes(content)
    with pytest.raises(DataError, match=r"train\.tsv: no rows"):
        read(spec, tmp_path)


def test_wrong_count_names_both_numbers(tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout("rte", sizes={"train": 3, "dev": 2})
    with pytest.raises(DataError, match=r"train\.tsv: rte train has 2 rows, expected 3; the copy is cut"):
        read(spec, tmp_path)
    assert len(read(spec, tmp_path, "dev")) == 2


def test_missing_split_file(tmp_path: Path, write_layout: WriteLayout):
    spec = write_layout("rte")
    (tmp_path / "RTE" / "train.tsv").unlink()
    with pytest.raises(DataError, match=r"cannot read .*train\.tsv"):
        read(spec, tmp_path)


@pytest.mark.parametrize("place", ["SST-2", "sst2", "GLUE/SST-2", "glue_data/sst_2", "."])
def test_folder_is_found_however_it_is_spelled(place: str, tmp_path: Path):
    spec = task_spec("sst2")
    assert spec.folder is not None
    directory = tmp_path / place
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "dev.tsv").touch()
    assert find_folder(spec, spec.folder, tmp_path) == directory


def test_the_groups_own_folder_comes_first(tmp_path: Path):
    spec = task_spec("elue-sst2")
    assert spec.folder is not None
    for place in ("SST-2", "GLUE/SST-2", "ELUE/SST-2"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "dev.tsv").touch()
    assert find_folder(spec, spec.folder, tmp_path) == tmp_path / "ELUE" / "SST-2"


def test_nothing_there_tells_the_expected_layout(tmp_path: Path):
    spec = task_spec("mnli")
    assert spec.folder is not None
    expected = "MNLI/{train.tsv,dev_matched.tsv}"
    assert expected_layout(spec.folder) == expected
    with pytest.raises(DataError, match=r"no files of mnli in .*; expected MNLI/{train.tsv,dev_matched.tsv"):
        find_folder(spec, spec.folder, tmp_path)
    with pytest.raises(DataError, match=r"no directory .*nowhere; correct --data-dir or EEBENCH_DATA"):
        find_folder(spec, spec.folder, tmp_path / "nowhere")
