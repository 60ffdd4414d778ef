from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eebench.errors import DataError, UnknownName, UserError
from eebench.tasks.files import FileTask, file_splits, file_task
from eebench.tasks.specs import TaskSpec
from eebench.tasks.splits import Split

CONTENT = {
    "csv": 'subject,queue\n"Printer, broken",it\n"two\nlines",hr\n"quo""te",it\n',
    "tsv": 'subject\tqueue\nPrinter, broken\tit\n"two lines\thr\nquo"te\tit\n',
    "jsonl": '{"queue": "it", "subject": "Printer, broken"}\n\n{"subject": "x", "queue": "hr"}\n',
}


def tickets(
    tmp_path: Path, content: str = CONTENT["csv"], suffix: str = "csv", **changes: object
) -> FileTask:
    """A task whose train and dev files both hold `content`."""
    for name in ("train", "dev"):
        (tmp_path / f"{name}.{suffix}").write_bytes(content.encode())
    paths = (tmp_path / f"train.{suffix}", tmp_path / f"dev.{suffix}")
    return replace(FileTask("tickets", *paths, ("subject",), "queue"), **changes)  # type: ignore[arg-type]


def read(spec: TaskSpec, name: str = "train") -> Split:
    assert spec.files is not None
    return file_splits(spec, spec.files, [name])[name]


@pytest.mark.parametrize(
    ("suffix", "texts"),
    [
        ("csv", ["Printer, broken", "two\nlines", 'quo"te']),
        ("tsv", ["Printer, broken", '"two lines', 'quo"te']),
        ("jsonl", ["Printer, broken", "x"]),
    ],
)
def test_every_format_is_read(suffix: str, texts: list[str], tmp_path: Path):
    spec = file_task(tickets(tmp_path, CONTENT[suffix], suffix))
    assert spec.labels == ("hr", "it")
    split = read(spec, "dev")
    assert [text for (text,) in split.texts] == texts
    assert split.labels.tolist() == [1, 0, 1][: len(texts)]


def test_a_spec_is_like_any_other(tmp_path: Path):
    spec = file_task(tickets(tmp_path, test=tmp_path / "dev.csv", max_length=64))
    assert (spec.name, spec.group, spec.classes, spec.metric) == ("tickets", "file", 2, "accuracy")
    assert (spec.splits, spec.max_length) == (("train", "dev", "test"), 64)


def test_number_labels_are_names_in_numeric_order(tmp_path: Path):
    spec = file_task(tickets(tmp_path, "subject,queue\na,10\nb,9\nc,2\n"))
    assert spec.labels == ("2", "9", "10")
    assert read(spec).labels.tolist() == [2, 1, 0]


def test_given_labels_keep_their_order_and_must_cover_the_files(tmp_path: Path):
    assert read(file_task(tickets(tmp_path, labels=("it", "hr")))).labels.tolist() == [0, 1, 0]
    with pytest.raises(DataError, match=r"train\.csv:4: unknown label 'hr'; expected one of it, law"):
        read(file_task(tickets(tmp_path, labels=("it", "law"))))


def test_a_correlation_makes_it_a_regression(tmp_path: Path):
    spec = file_task(tickets(tmp_path, "subject,queue\na,-3.5\nb,1e2\n", metric="spearman"))
    assert spec.is_regression
    assert read(spec).labels.tolist() == [-3.5, 100.0]
    assert read(spec).labels.dtype == np.float32


def test_pairs_of_texts(tmp_path: Path):
    content = '{"a": "x", "b": "y", "queue": 0}\n{"a": 1, "b": "z", "queue": 1}\n'
    spec = file_task(tickets(tmp_path, content, "jsonl", text_columns=("a", "b")))
    assert read(spec).texts == [("x", "y"), ("1", "z")]
    assert spec.labels == ("0", "1")


def test_names_and_columns_are_checked(tmp_path: Path):
    with pytest.raises(UserError, match="'rte' is taken by a built-in task"):
        file_task(tickets(tmp_path, name="rte"))
    with pytest.raises(UserError, match="has 3 text columns; name one or two"):
        file_task(tickets(tmp_path, text_columns=("a", "b", "c")))
    with pytest.raises(UnknownName, match="unknown metric 'acuracy'; did you mean 'accuracy'"):
        file_task(tickets(tmp_path, metric="acuracy"))
    with pytest.raises(UserError, match="metric 'f1' needs two classes, not 3"):
        file_task(tickets(tmp_path, labels=("a", "b", "c"), metric="f1"))
    with pytest.raises(DataError, match=r"train\.csv:1: no column 'kind'; the header has subject, queue"):
        file_task(tickets(tmp_path, label_column="kind"))


def test_label_columns_without_classes_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="'queue' has 1 different values; expected 2 to 200 classes"):
        file_task(tickets(tmp_path, "subject,queue\na,x\n"))
    rows = "".join(f"a,{i / 7}\n" for i in range(201))
    with pytest.raises(DataError, match=r"'queue' has 201 different values.*metric 'pearson'"):
        file_task(tickets(tmp_path, f"subject,queue\n{rows}"))


def test_a_stray_separator_is_no_new_class(tmp_path: Path):
    with pytest.raises(DataError, match=r"train\.tsv:3: 3 fields, expected 2 as in the header"):
        file_task(tickets(tmp_path, "subject\tqueue\na\tit\nb\tc\thr\n", "tsv"))


def test_an_open_quote_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"train\.csv:3: unexpected end of data; check the quotes"):
        file_task(tickets(tmp_path, 'subject,queue\na,it\n"b,hr\n'))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"train\.jsonl:2: not JSON"),
        ("[1]", r"train\.jsonl:2: found list, expected one object per line"),
        ('{"subject": null, "queue": "it"}', r"train\.jsonl:2: 'subject' is null; expected a text"),
        ('{"subject": "a"}', r"train\.jsonl:2: no column 'queue'; the header has subject"),
        ('{"subject": true, "queue": "it"}', r"train\.jsonl:2: 'subject' is true"),
    ],
)
def test_bad_json_lines_are_named(line: str, message: str, tmp_path: Path):
    content = '{"subject": "a", "queue": "it"}\n' + line + "\n"
    with pytest.raises(DataError, match=message):
        file_task(tickets(tmp_path, content, "jsonl"))


def test_unknown_suffix_missing_file_and_empty_file(tmp_path: Path):
    with pytest.raises(DataError, match=r"cannot tell the format from '.txt'; use .csv, .tsv or .jsonl"):
        file_task(tickets(tmp_path, suffix="txt"))
    with pytest.raises(DataError, match=r"cannot read .*gone\.csv"):
        file_task(tickets(tmp_path, train=tmp_path / "gone.csv"))
    with pytest.raises(DataError, match=r"train\.csv: no rows; expected examples of tickets"):
        read(file_task(tickets(tmp_path, "", labels=("a", "b"))))


def test_expected_sizes_are_checked_when_given(tmp_path: Path):
    spec = replace(file_task(tickets(tmp_path)), sizes={"train": 4})
    with pytest.raises(DataError, match="tickets train has 3 rows, expected 4"):
        read(spec)
