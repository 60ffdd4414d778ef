from eebench.report.sections.strategies import strategies


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_every_swept_rule_but_the_static_one(ground, section):
    text, mark = strategies(section(kind="strategies", methods=["finetune", "pabee", "gaml"]), ground)
    assert [line[:3] for line in rows(text)] == [
        ["patience", "PABEE", "1.90x"], ["patience", "GAML-BERT", "2.00x"], ["entropy", "PABEE", "2.60x†"],
        ["entropy", "GAML-BERT", "2.05x"],
    ]  # fmt: skip
    assert rows(text)[2][3] == "33.0 ± 1.0" and mark.startswith("† on some task")


def test_printed_numbers_belong_to_the_method_and_not_to_its_variants(ground, section):
    points = ground.points.assign(task="mrpc")
    points.loc[points["base"] == "gaml-small", "rule"] = "entropy"
    mrpc = type(ground)(**{**vars(ground), "points": points})
    asked = section(kind="strategies", methods=["gaml", "gaml-small"], rules=["entropy"], tasks=["mrpc"])
    text, note = strategies(asked, mrpc)
    assert rows(text) == [
        ["entropy", "GAML-BERT", "2.05x", "1.93x", "36.0 ± 1.0", "87.6"],
        ["entropy", "GAML-BERT (gaml-small)", "1.85x", "-", "37.0", "-"],
    ]
    assert note.startswith("Printed: by GAML-BERT")


def test_without_results(ground, section):
    assert list(strategies(section(kind="strategies", methods=["lost"]), ground)) == []
    assert list(strategies(section(kind="strategies", methods=["gaml"], rules=["max-prob"]), ground)) == []
