import pytest

from eebench.report.sections.pairs import pairs

ENTRY = {"direct": ["first-1", "finetune"], "joint": "joint-1-6", "deep_to_shallow": "down-1-6",
         "shallow_to_deep": "up-1-6", "mutual": "mutual-1-6"}  # fmt: skip


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_every_row_is_the_exit_that_learns(ground, section):
    text, note = pairs(section(kind="pairs", pairs={"1&6": ENTRY}), ground)
    found = rows(text)
    assert [line[1:4] for line in found[:8]] == [
        ["1", "fine-tuned alone", "10.0"], ["1", "trained with exit 6", "12.0"], ["1", "taught by exit 6", "20.0"],
        ["1", "mutual with exit 6", "21.0"], ["6", "fine-tuned alone", "45.0"],
        ["6", "trained with exit 1", "46.0"], ["6", "taught by exit 1", "48.0"], ["6", "mutual with exit 1", "49.0"],
    ]  # fmt: skip
    assert {line[4] for line in found[:8]} == {"-"}  # the paper has other pairs
    assert found[8] == ["1&amp;12", "1", "fine-tuned alone", "-", "0.0"] and len(found) == 24
    assert "GAML-BERT" in note


def test_a_pair_of_the_paper_is_shown_beside_its_numbers(ground, section):
    text, _ = pairs(section(kind="pairs", pairs={"1&12": ENTRY}), ground)
    found = rows(text)
    assert len(found) == 16
    assert found[2] == ["1&amp;12", "1", "taught by exit 12", "20.0", "0.0"]
    assert found[4][3:] == ["-", "54.7"]  # no exit 12 here


def test_a_task_of_our_own_has_no_printed_rows(ground, section):
    exits = ground.exits.assign(task="mine")
    mine = type(ground)(**{**vars(ground), "exits": exits})
    (text,) = pairs(section(kind="pairs", tasks=["mine"], pairs={"1&6": ENTRY}), mine)
    assert len(rows(text)) == 8 and "printed" not in text


@pytest.mark.parametrize("tasks", [["rte"], None])
def test_without_results(ground, section, tasks):
    empty = type(ground)(**{**vars(ground), "exits": ground.exits.iloc[:0]})
    assert list(pairs(section(kind="pairs", tasks=tasks, pairs={"1&6": ENTRY}), empty)) == []
