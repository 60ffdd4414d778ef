from eebench.report.sections.ground import Drawing
from eebench.report.sections.sensitivity import sensitivity


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_values_are_rows_with_what_was_printed(ground, section):
    figure, text, note = sensitivity(
        section(kind="sensitivity", option="alpha", methods=["gaml", "gaml-small"]), ground
    )
    assert isinstance(figure, Drawing) and b"GAML-BERT, mean over exits" in figure.svg
    assert rows(text) == [
        ["0.1", "37.0", "1.85x", "34.0", "50.9"],
        ["0.3", "38.0 ± 1.0", "2.00x", "34.0 ± 2.6", "51.1"],
    ]
    assert note.startswith("Printed: by GAML-BERT")


def test_two_runs_of_one_value_and_a_value_of_words(ground, section):
    same = {**ground.about, "gaml-small": ground.about["gaml"] | {"title": "GAML-BERT (gaml-small)"}}
    clash = type(ground)(**{**vars(ground), "about": same})
    asked = section(kind="sensitivity", option="ga", methods=["gaml", "gaml-small"])
    figure, text, left = sensitivity(asked, clash)
    assert figure == "" and rows(text) == [["soft", "38.0 ± 1.0", "2.00x", "34.0 ± 2.6"]]
    assert left == "Left out, for there is another run of that value: gaml-small."


def test_methods_of_other_names_have_columns_of_their_own(ground, section):
    asked = section(kind="sensitivity", option="patience", methods=["pabee", "gaml", "finetune"])
    _, text = sensitivity(asked, ground)
    assert text.splitlines()[0].count("mean over exits") == 3
    assert rows(text)[0][:4] == ["2", "35.0 ± 1.0", "1.90x", "30.0 ± 1.4"] and rows(text)[1][0] == "default"


def test_without_results(ground, section):
    assert list(sensitivity(section(kind="sensitivity", option="alpha", methods=["lost"]), ground)) == []
