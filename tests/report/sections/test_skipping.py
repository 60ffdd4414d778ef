from eebench.report.sections.skipping import never_exits, skipping


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def renamed(ground, task):
    """The ground with its task under another name."""
    tables = {name: getattr(ground, name).assign(task=task).replace({"matthews": "accuracy"})
              for name in ("points", "exits", "runs")}  # fmt: skip
    return type(ground)(**{**vars(ground), **tables})


def test_the_full_model_comes_first(ground, section):
    text, meaning, note = skipping(section(kind="skipping", methods=["smartbert"]), renamed(ground, "sst2"))
    assert rows(text) == [
        ["Fine-tuned", "exit=6", "45.0", "93.2", "1,000.0", "21,744", "100.0", "100", "100.0"],
        ["SmartBERT", "S=0", "50.0", "93.1", "800.0", "14,500", "80.0", "66", "80.0"],
    ]
    assert meaning.startswith("Nobody exits") and note.startswith("Printed: by SmartBERT")


def test_the_full_model_comes_first_with_its_printed_row_wherever_it_is_listed(ground, section):
    listed = section(kind="skipping", methods=["smartbert", "finetune"])
    unlisted = section(kind="skipping", methods=["smartbert"])
    sst2 = renamed(ground, "sst2")
    assert list(skipping(listed, sst2)) == list(skipping(unlisted, sst2))


def test_a_task_that_was_not_printed(ground, section):
    text, _ = skipping(section(kind="skipping", methods=["smartbert"]), ground)
    assert [len(row) for row in rows(text)] == [6, 6]


def test_without_entropy_the_last_exit_is_fixed(ground, section):
    points = ground.points.replace({"rule": {"entropy": "budgeted"}, "setting": {"S=0": "exit=6"}})
    fixed = type(ground)(**{**vars(ground), "points": points})
    assert never_exits(fixed, "smartbert", "cola")["setting"] == "exit=6"
    assert never_exits(fixed, "lost", "cola") is None


def test_nothing_to_show(ground, section):
    assert list(skipping(section(kind="skipping", methods=["csdbert"]), ground)) == []
