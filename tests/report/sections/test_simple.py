from eebench.report.sections.simple import simple


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_the_setting_chosen_for_all_inputs(ground, section):
    text, meaning = simple(section(kind="simple", methods=["finetune", "gaml", "pabee"]), ground)
    assert rows(text) == [
        ["Fine-tuned", "1.00x", "1.00x", "45.0", "46.0", "+1.0"],
        ["GAML-BERT", "2.00x", "2.20x", "38.0 ± 1.0", "41.0", "+3.0"],
    ]
    assert meaning.startswith("Simple inputs:")


def test_what_the_paper_printed(ground, section):
    tables = {name: getattr(ground, name).assign(task="mrpc").replace({"gaml": "cost-eff-8x", "matthews": "f1"})
              for name in ("points", "exits", "runs", "simple")}  # fmt: skip
    methods = {**ground.methods, "cost-eff-8x": ground.methods["gaml"]}
    other = type(ground)(**{**vars(ground), **tables, "methods": methods})
    text, _, note = simple(section(kind="simple", methods=["cost-eff-8x"]), other)
    assert rows(text) == [["cost-eff-8x", "2.00x", "2.20x", "38.0 ± 1.0", "41.0", "+3.0", "88.8"]]
    assert note.startswith("Printed: by COST-EFF")


def test_a_setting_without_simple_inputs(ground, section):
    other = type(ground)(**{**vars(ground), "simple": ground.simple.assign(setting="patience=9")})
    assert list(simple(section(kind="simple", methods=["gaml", "finetune"]), other)) == []
