"""Files of measured times, by the example of step times."""

from dataclasses import replace

import pytest

from eebench.errors import DataError
from eebench.steptimes import STEP_TIMES, StepTime
from eebench.timings import TimingFile, merged

ROW = StepTime("rte", "toy", "finetune", "finetune", 12.34567, 1.0, 30, 32, 2, "fp32", "A Processor, 2.9GHz")
GAML = replace(ROW, method="gaml", stage="mutual", step_ms=20.0, ratio=1.6204)
TEXT = """\
task,backbone,method,stage,step_ms,ratio,steps,batch_size,threads,precision,device
rte,toy,finetune,finetune,12.346,1.000,30,32,2,fp32,"A Processor, 2.9GHz"
rte,toy,gaml,mutual,20.000,1.620,30,32,2,fp32,"A Processor, 2.9GHz"
"""


def test_a_text_stays_on_its_line(tmp_path):
    STEP_TIMES.write(tmp_path, [replace(ROW, device="one\ntwo")])
    assert STEP_TIMES.read(tmp_path)[0].device == "one two"


def test_no_file_is_no_rows(tmp_path):
    assert STEP_TIMES.read(tmp_path) == []


def test_a_whole_measurement_replaces_its_place_and_a_part_its_methods():
    other = replace(ROW, task="mrpc")
    slow = replace(GAML, step_ms=99.0)
    assert merged([ROW, GAML, other], [slow], whole=True) == [other, slow]
    assert merged([ROW, GAML, other], [slow], whole=False) == [ROW, other, slow]
    elsewhere = replace(slow, device="Another")
    assert merged([ROW, GAML], [elsewhere], whole=True) == [ROW, GAML, elsewhere]


def test_some_columns_have_decimals_of_their_own(tmp_path):
    fine = TimingFile("fine.csv", StepTime, "steptime", {"step_ms": 1})
    fine.write(tmp_path, [ROW])
    assert fine.read(tmp_path) == [replace(ROW, step_ms=12.3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has not the columns task, backbone"),
        (TEXT.replace("ratio", "times"), "has not the columns"),
        (TEXT.replace("12.346", "fast"), "line 2: could not convert string to float: 'fast'"),
        (TEXT.replace(",fp32", ""), "line 2: zip"),
        (TEXT.replace('"A', 'A"').replace("GHz", '"GHz"x"'), "steptime.csv"),
        (TEXT.replace("finetune,finetune", '"fine'), "is not a CSV table"),
    ],
)
def test_a_damaged_file_is_refused_with_the_way_out(tmp_path, text, message):
    (tmp_path / "steptime.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        STEP_TIMES.read(tmp_path)
    assert message in str(caught.value)
    assert f"`eebench steptime --suite {tmp_path.name}` writes it anew" in str(caught.value)
