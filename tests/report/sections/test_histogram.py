import pandas as pd

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


def with_options(ground, label, **options):
    """The ground with other options of one label."""
    about = {**ground.about, label: {**ground.about[label], "options": options}}
    return type(ground)(**{**vars(ground), "about": about})


def test_reversal_of_several_groups_is_counted_by_group(ground, section):
    grouped = with_options(ground, "gaml", ga="soft", alpha=0.3, ga_scope="per_tensor")
    asked = section(kind="histogram", quantity="c", methods=["gaml"])
    # Older results only have c, which says nothing of single groups.
    _, text, note = histogram(asked, grouped)
    assert cells(text)[3] == "-" and "from before reversal was counted by group" in note
    # Of ten steps six reversed no group and four about every eighth.
    own = grouped.histograms[grouped.histograms["base"] == "gaml"].iloc[:1]
    shares = {0.0: 6, 0.12: 4}
    bins = pd.concat(
        [own.assign(quantity="flipped", low=low / 100, high=(low + 1) / 100, count=shares.get(low / 100, 0))
         for low in range(100)]
    )  # fmt: skip
    counted = type(grouped)(**{**vars(grouped), "histograms": pd.concat([grouped.histograms, bins])})
    _, text, note = histogram(asked, counted)
    assert cells(text)[3] == "5.0" and "from before" not in note  # 0.4 of 12.5 %


def test_the_papers_about_half_is_answered_where_mutual_learning_alone_was_watched(ground, section):
    asked = section(kind="histogram", quantity="angle", methods=["gaml"])
    assert len(list(histogram(asked, ground))) == 3
    alone = with_options(ground, "gaml", ga="none", alpha=0.3)
    *_, answer = histogram(asked, alone)
    assert answer.startswith("The paper finds about half")
    assert answer.endswith("Here it is 90 % with GAML-BERT on cola.")
