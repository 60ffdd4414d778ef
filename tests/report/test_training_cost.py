"""The table of training cost, byte for byte."""

from dataclasses import replace

import pytest

from eebench.errors import DataError
from eebench.report.training_cost import MEANING, steptime_section
from eebench.steptimes import STEP_TIMES, StepTime

BASE = StepTime("RTE", "toy-bert", "finetune", "finetune", 101.26, 1.0, 30, 32, 2, "fp32", "Some | CPU")
ROWS = [
    BASE,
    replace(BASE, method="pabee", stage="joint", step_ms=110.04, ratio=1.086),
    replace(BASE, method="two_stage", stage="finetuned: finetune", step_ms=101.0, ratio=0.998),
    replace(BASE, method="two_stage", stage="off-ramps", step_ms=40.5, ratio=0.4),
]
GOLDEN = [
    "### toy-bert, RTE",
    """\
| method     | stage               |   ms / step |   ratio |
|:-----------|:--------------------|------------:|--------:|
| Fine-tuned | finetune            |       101.3 |    1.00 |
| PABEE      | joint               |       110.0 |    1.09 |
| two_stage  | finetuned: finetune |       101.0 |    1.00 |
| two_stage  | off-ramps           |        40.5 |    0.40 |""",
    "Measured on Some \\| CPU: 2 threads, fp32, batches of 32, medians of 30 steps.",
    MEANING,
]


def test_the_section_is_the_golden_one(tiny):
    STEP_TIMES.write(tiny, ROWS)
    assert list(steptime_section(tiny)) == GOLDEN


def test_without_a_file_there_is_no_section(tiny, tmp_path):
    assert list(steptime_section(tiny)) == []
    assert list(steptime_section(tmp_path / "nowhere")) == []


@pytest.mark.parametrize("content", [None, "{", "[]", '{"methods": {"finetune": 3}}'])
def test_without_titles_the_labels_stand(tmp_path, content):
    if content is not None:
        (tmp_path / "provenance.json").write_text(content, encoding="utf-8")
    STEP_TIMES.write(tmp_path, ROWS)
    assert "| finetune  | finetune            |" in list(steptime_section(tmp_path))[1]


def test_places_are_apart_in_the_order_of_the_file(tmp_path):
    gpu = replace(BASE, device="A Card", threads=1, precision="bf16", step_ms=9.0)
    later = replace(ROWS[1], steps=1)
    STEP_TIMES.write(tmp_path, [BASE, gpu, later])
    blocks = list(steptime_section(tmp_path))
    assert len(blocks) == 7
    assert [line.split("|")[3].strip() for line in blocks[1].splitlines()[2:]] == ["101.3", "110.0"]
    assert [line.split(",")[-1] for line in blocks[2].splitlines()] == [
        " medians of 30 steps.", " medians of 1 step.",
    ]  # fmt: skip
    assert blocks[5] == "Measured on A Card: 1 thread, bf16, batches of 32, medians of 30 steps."


def test_a_damaged_file_is_an_error(tmp_path):
    (tmp_path / "steptime.csv").write_text("task\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"steptime\.csv has not the columns"):
        list(steptime_section(tmp_path))
