from eebench.report.sections.compression import compression


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_reductions_and_scores(ground, section):
    asked = section(
        kind="compression", methods=["finetune", "pabee", "gaml-small", "lost"], speedups={"pabee": 3.1}
    )
    text, meaning = compression(asked, ground)
    # gaml-small has 400 of the 1000 parameters; of pabee the setting nearest to 3.1x is shown.
    assert rows(text) == [
        ["Fine-tuned", "1.0k", "4.0", "1.00x", "1.00x", "45.0"],
        ["PABEE", "1.0k", "4.0", "1.00x", "3.00x", "25.0 ± 1.0"],
        ["GAML-BERT (gaml-small)", "400", "1.6", "2.50x", "1.85x", "37.0"],
    ]
    assert meaning.startswith("Parameter reduction")


def test_what_the_paper_printed(ground, section):
    tables = {name: getattr(ground, name).assign(task="mrpc") for name in ("points", "exits", "runs")}
    tables["exits"] = tables["exits"].assign(metric="f1")
    other = type(ground)(**{**vars(ground), **tables})
    text, _, note = compression(section(kind="compression", methods=["finetune", "gaml"]), other)
    assert rows(text) == [
        ["Fine-tuned", "1.0k", "4.0", "1.00x", "1.0x", "1.00x", "1.0x", "45.0", "90.5"],
        ["GAML-BERT", "1.0k", "4.0", "1.00x", "-", "2.00x", "-", "38.0 ± 1.0", "-"],
    ]
    assert note.startswith("Printed: by COST-EFF")


def test_without_a_full_model(ground, section):
    exits = ground.exits[ground.exits["base"] != "finetune"]
    without = type(ground)(**{**vars(ground), "exits": exits})
    text, _ = compression(section(kind="compression", methods=["gaml"]), without)
    assert rows(text)[0][3] == "-"


def test_nothing_to_show(ground, section):
    assert list(compression(section(kind="compression", methods=["lost"]), ground)) == []
