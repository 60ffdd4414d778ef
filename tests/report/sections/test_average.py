import pandas as pd
import pytest

from eebench.report.sections.average import average


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def on(ground, scores):
    """The ground on other tasks, each with a metric and a score that is added to those of CoLA."""
    tables = {name: pd.concat([getattr(ground, name).assign(task=task) for task in scores])
              for name in ("points", "exits", "runs")}  # fmt: skip
    for name in ("points", "exits"):
        rows = tables[name]
        rows["score_mean"] += [scores[task][1] for task in rows["task"]]
        rows["metric"] = [scores[task][0] for task in rows["task"]]
    return type(ground)(**{**vars(ground), **tables})


GLUE = {
    "rte": ("accuracy", 0.2),
    "qnli": ("accuracy", 0.4),
    "qqp": ("acc_f1", 0.4),
    "mnli": ("accuracy", 0.3),
}


def test_the_plain_mean_beside_the_printed_one(ground, section):
    asked = section(kind="average", methods=["finetune", "csdbert", "lost"], tasks=list(GLUE))
    text, meaning, note = average(asked, on(ground, GLUE))
    # CsdBERT, Table 3. Ours: 45 + (20 + 40 + 40 + 30) / 4 = 77.5, and 30 + 32.5 at R = 1.
    assert rows(text) == [
        [
            "Fine-tuned",
            "1.00x",
            "65.0",
            "67.1",
            "85.0",
            "86.8",
            "85.0",
            "88.7",
            "75.0",
            "83.5",
            "77.5",
            "81.5",
        ],
        ["CsdBERT", "1.90x", "50.0", "73.3", "70.0", "92.1", "70.0", "90.0", "60.0", "85.3", "62.5", "85.2"],
    ]
    assert meaning.startswith("Average:") and note.startswith("Printed: by CsdBERT (Table 3)")


def test_an_average_over_other_tasks_has_no_printed_one(ground, section):
    part = {task: GLUE[task] for task in ("rte", "qnli")}
    text, *_ = average(section(kind="average", methods=["finetune"], tasks=["rte", "qnli"]), on(ground, part))
    assert rows(text) == [["Fine-tuned", "1.00x", "65.0", "67.1", "85.0", "86.8", "75.0"]]


def test_a_task_without_a_score_leaves_no_average(ground, section):
    mine = on(ground, GLUE)
    points = mine.points[(mine.points["task"] != "qqp") | (mine.points["base"] != "csdbert")]
    lacking = type(ground)(**{**vars(mine), "points": points})
    text, *_ = average(section(kind="average", methods=["finetune", "csdbert"], tasks=list(GLUE)), lacking)
    assert rows(text)[1][-2] == "-" and rows(text)[0][-2] == "77.5"


@pytest.mark.parametrize("methods", [["lost"], ["first-1"]])
def test_nothing_to_show(ground, section, methods):
    assert list(average(section(kind="average", methods=methods), ground)) == []
