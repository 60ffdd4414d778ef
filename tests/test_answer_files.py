import errno
import io
import json
import os

import pytest

from eebench.answer_files import COLUMNS, check_output, output_stream, write_answers
from eebench.errors import StorageError, UserError
from eebench.predict import Prediction

ANSWERS = [
    Prediction(1, "good, really", 0.98765432, 2, 1, 12.34567),
    Prediction(2, error="the text is empty"),
    Prediction(3, "bad", 0.5, 4, 3, 1.0, truncated=True, replaced=True),
]


def test_a_csv():
    stream = io.StringIO()
    write_answers(ANSWERS, stream, "csv")
    assert stream.getvalue().splitlines() == [
        ",".join(COLUMNS), '1,"good, really",0.987654,2,1,12.346,false,false,', "2,,,,,,false,false,the text is empty",
        "3,bad,0.5,4,3,1.0,true,true,",
    ]  # fmt: skip


def test_jsonl():
    stream = io.StringIO()
    write_answers(ANSWERS, stream, "jsonl")
    first, second, _ = (json.loads(line) for line in stream.getvalue().splitlines())
    assert list(first) == list(COLUMNS) and first["confidence"] == 0.987654 and first["truncated"] is False
    assert (second["label"], second["confidence"], second["error"]) == ("", None, "the text is empty")


def test_what_it_came_to():
    tally = write_answers(ANSWERS, io.StringIO(), "csv")
    assert list(tally.lines()) == [
        "2 texts answered, 2.00 layers and 6.7 MFLOPs each", "rows cut to the length the model reads: 1",
        "rows with bytes that are no UTF-8, replaced: 1", "rows without an answer: 1",
    ]  # fmt: skip
    assert list(write_answers([], io.StringIO(), "csv").lines()) == ["no text answered"]


def test_each_row_is_on_disk_before_the_next_and_before_an_error(tmp_path):
    path, seen = tmp_path / "out.csv", []

    def answers():
        for number in range(1, 6):
            seen.append(len(path.read_text(encoding="utf-8").splitlines()))
            yield Prediction(number, "good", 0.5, 1, 1, 1.0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), output_stream(str(path)) as stream:
        write_answers(answers(), stream, "csv")
    assert seen == [0, 2, 3, 4, 5]
    assert [line[0] for line in path.read_text(encoding="utf-8").splitlines()[1:]] == list("12345")


class Refusing(io.StringIO):
    """A stream that the system refuses to write."""

    def __init__(self, code):
        super().__init__()
        self.code = code

    def flush(self):
        raise OSError(self.code, os.strerror(self.code))


def test_a_full_disk_and_a_reader_that_left():
    with pytest.raises(StorageError, match="cannot write the answers: No space left on device"):
        write_answers(ANSWERS, Refusing(errno.ENOSPC), "csv")
    with pytest.raises(BrokenPipeError):
        write_answers(ANSWERS, Refusing(errno.EPIPE), "csv")


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match="--format xml: choose csv or jsonl"):
        check_output("-", "xml", "-")
    with pytest.raises(UserError, match=r"a\.csv is the input too; write to another file"):
        check_output(str(tmp_path / "a.csv"), "csv", str(tmp_path / "." / "a.csv"))
    check_output("-", "csv", "-")
    with (
        pytest.raises(UserError, match="cannot write .*gone/a: No such file or directory; name another"),
        output_stream(str(tmp_path / "gone" / "a")),
    ):
        pass
