import io
import sys

import pytest

from eebench.errors import DataError, UserError
from eebench.text_rows import Lines, TextSource, rows_of


@pytest.fixture
def read(tmp_path):
    """`read(b"...", "a.csv", "text")` gives the rows of that file."""

    def rows(content, name="texts.txt", *columns):
        path = tmp_path / name
        path.write_bytes(content)
        with TextSource(str(path), columns).rows() as found:
            return list(found)

    return rows


def texts(rows):
    return [row.texts for row in rows]


def test_each_line_is_a_text(read):
    rows = read("\ufeffa warm film\r\n\n  \nlast é".encode())
    assert texts(rows) == [("a warm film",), ("",), ("",), ("last é",)]
    assert [row.number for row in rows] == [1, 2, 3, 4]
    assert [row.error for row in rows] == ["", "the text is empty", "the text is empty", ""]
    assert read(b"") == []


def test_bytes_that_are_no_utf8_are_replaced_and_told_of_their_own_row(read):
    rows = read(b"good\nb\xffd\ngood\n")
    assert texts(rows)[1] == ("b\ufffdd",)
    assert [row.replaced for row in rows] == [False, True, False]
    table = read(b"text\ngood\nb\xffd\ngood\n", "a.csv", "text")
    assert [row.replaced for row in table] == [False, True, False]


def test_columns_of_a_csv(read):
    content = b'id,text,other\n1,"a, ""b""\nc",x\n2,,y\n3,d\n4,e,z\n'
    rows = read(content, "a.csv", "text")
    assert texts(rows) == [('a, "b"\nc',), ("",), (), ("e",)]
    assert [row.error for row in rows] == [
        "", "the text is empty", "2 fields, expected 3 as in the header", "",
    ]  # fmt: skip
    assert texts(read(content, "a.csv", "other", "text"))[0] == ("x", 'a, "b"\nc')


def test_quotes_mean_nothing_in_a_tsv(read):
    assert texts(read(b'text\tn\n"a\t1\nb\t2\r\n', "a.tsv", "text")) == [('"a',), ("b",)]


def test_half_of_a_pair_may_be_empty(read):
    rows = read(b"a,b\nx,\n,\n", "a.csv", "a", "b")
    assert [row.error for row in rows] == ["", "the text is empty"]


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text,n\na,1\n")))
    with TextSource("-", ("text",)).rows() as rows:
        assert texts(rows) == [("a",)]


def test_mistakes(read, tmp_path):
    with pytest.raises(UserError, match="3 text columns; name one, or two"):
        TextSource("a.csv", ("a", "b", "c"))
    with pytest.raises(UserError, match=r"a\.tsv is a table; say which column has the texts"):
        TextSource("a.tsv")
    with (
        pytest.raises(DataError, match="cannot read .*gone: No such file"),
        TextSource(str(tmp_path / "gone")).rows(),
    ):
        pass
    with pytest.raises(DataError, match=r"a\.csv:1: no column 'text'; the header has a, b"):
        read(b"a,b\n1,2\n", "a.csv", "text")


def test_an_open_quote_costs_the_rows_it_swallows_and_no_others(read):
    content = b'text\ngood\n"never closed\n' + b"x" * (1 << 24) + b"\nafter\n"
    rows = read(content, "a.csv", "text")
    assert texts(rows) == [("good",), (), ("after",)]
    assert rows[1].error.startswith("lines 3 to 4: field larger than field limit")
    rows = read(b'text\ngood\n"never closed\nmore\n', "a.csv", "text")
    assert texts(rows) == [("good",), ()]
    assert rows[1].error == "lines 3 to 4: unexpected end of data; check the quotes"
    with pytest.raises(DataError, match=r"a\.csv:1: line 1: unexpected end of data"):
        read(b'"text', "a.csv", "text")


def test_rows_are_read_as_they_are_asked_for():
    stream = io.BytesIO(b"one\ntwo\nthree\n")
    lines = Lines(stream)
    assert next(lines) == "one\n" and stream.tell() == 4


def test_texts_in_memory():
    rows = list(rows_of(["a ", ("b", "c"), ""]))
    assert [row.texts for row in rows] == [("a",), ("b", "c"), ("",)]
    assert [row.number for row in rows] == [1, 2, 3] and rows[2].error == "the text is empty"
