from eebench.report.sections.ground import Drawing
from eebench.report.sections.histogram import histogram


def cells(text):
    return [cell.strip() for cell in text.splitlines()[2].strip("|").split("|")]


def test_angles(ground, section):
    figure, text, note = histogram(
        section(kind="histogram", quantity="angle", methods=["gaml", "lost"]), ground
    )
    assert isinstance(figure, Drawing) and b">GAML-BERT<" in figure.svg
    # One step of ten below 90 degrees; the median is the fourth of six steps from 90 to 95.
    assert cells(text) == ["GAML-BERT", "10", "90.0", "32.50", "93.33", "179.17"]
    assert "Reversed" not in note and len(text.splitlines()) == 3


def test_projections_and_reversed_steps(ground, section):
    _, text, note = histogram(section(kind="histogram", quantity="c", methods=["gaml"]), ground)
    # At alpha 0.3 steps below -2.33 are reversed: the one below -5 is, one between -2.5 and -2.25 may be.
    assert cells(text) == ["GAML-BERT", "10", "80.0", "10.0 to 20.0", "&lt; -5.00", "-0.12", "1.19"]
    assert "Reversed" in note


def test_hard_alignment_reverses_nothing(ground, section):
    about = {**ground.about, "gaml": {**ground.about["gaml"], "options": {"ga": "hard", "alpha": 0.3}}}
    hard = type(ground)(**{**vars(ground), "about": about})
    _, text, _ = histogram(section(kind="histogram", quantity="c", methods=["gaml"]), hard)
    assert cells(text)[3] == "-"


def test_nothing_recorded_or_other_bins(ground, section):
    asked = section(kind="histogram", quantity="delta", methods=["pabee"])
    assert list(histogram(asked, ground)) == []
    wider = ground.histograms.assign(low=ground.histograms["low"] - 1)
    other = type(ground)(**{**vars(ground), "histograms": wider})
    assert list(histogram(section(kind="histogram", quantity="angle", methods=["gaml"]), other)) == []


def test_changes_are_counted_as_changes(ground, section):
    figure, text, note = histogram(section(kind="histogram", quantity="delta", methods=["csdbert"]), ground)
    assert b"share of the changes" in figure.svg and "percent of the changes" in note
    # 30 of 40 changes lie between -0.02 and -0.01; the second of them at 5%, the 20th in the middle.
    assert cells(text) == ["CsdBERT", "40", "75.0", "-0.02", "-0.01", "0.02"]
