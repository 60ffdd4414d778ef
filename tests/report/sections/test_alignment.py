import pytest

from eebench.report.sections.alignment import alignment
from eebench.report.sections.ground import Drawing


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_checks_points_static_exits_and_changes(ground, section):
    blocks = list(alignment(section(kind="alignment", methods=["csdbert", "lost"]), ground))
    checks, sentence, figure, points, deltas, delta_table, meaning = blocks
    assert rows(checks) == [["CsdBERT", "0", "40", "30", "75.0"], ["CsdBERT", "0.06", "40", "39", "97.5"]]
    assert sentence == (
        "**cola**, CsdBERT: 97.5% of 40 checks fire at theta 0.06: nearly every check fires, so the rule is nearly a "
        "static exit at layer R + 2."
    )
    assert isinstance(figure, Drawing) and b">ceiling L / (R + 2)<" in figure.svg
    # Six layers: the ceilings are 6 / 3 and 6 / 4. The fixed exit after layer 4 was not swept, but has a score.
    assert rows(points) == [
        ["CsdBERT", "1", "3.16", "1.90x", "2.00x", "1.90x", "30.0", "3", "31.0", "2.00x"],
        ["CsdBERT", "2", "4.00", "1.50x", "1.50x", "1.50x", "40.0", "4", "41.0", "-"],
    ]
    assert isinstance(deltas, Drawing) and "Distribution of delta" in deltas.alt and "CsdBERT" in delta_table
    assert meaning.startswith("A check compares")


FIRED = [
    (40, "fires, so the rule is a static exit"),
    (20, "tells samples apart"),
    (4, "hardly any check fires"),
]


@pytest.mark.parametrize(("fired", "words"), FIRED)
def test_what_the_share_means(ground, section, fired, words):
    other = type(ground)(**{**vars(ground), "checks": ground.checks.assign(fired=fired)})
    sentences = [block for block in alignment(section(kind="alignment", methods=["csdbert"]), other)
                 if isinstance(block, str) and block.startswith("**")]  # fmt: skip
    assert len(sentences) == 1 and words in sentences[0]


def test_another_theta_has_other_points(ground, section):
    blocks = list(alignment(section(kind="alignment", methods=["csdbert"], theta=0.0), ground))
    assert [row[6] for row in rows(blocks[3])] == ["36.0"] and "75.0% of 40 checks" in blocks[1]


def test_nothing_swept(ground, section):
    assert list(alignment(section(kind="alignment", methods=["lost"]), ground)) == []


def test_models_without_an_exit_after_every_layer_are_refused(ground, section):
    sparse = ground.exits[(ground.exits["base"] != "csdbert") | (ground.exits["exit"] != 3)]
    other = type(ground)(**{**vars(ground), "exits": sparse})
    (line,) = alignment(section(kind="alignment", methods=["csdbert", "gaml"]), other)
    assert line.startswith("Not shown on cola: CsdBERT, GAML-BERT, without an exit after every layer")
    refused, *rest = alignment(section(kind="alignment", methods=["csdbert", "gaml"]), ground)
    assert refused.startswith("Not shown on cola: GAML-BERT,") and len(rest) == 7
