from eebench.report.sections.ground import Drawing
from eebench.report.sections.overthinking import overthinking


def test_the_best_depth_against_the_full_one(ground, section):
    asked = section(kind="overthinking", methods=["finetune", "first-5", "first-1"])
    figure, text, statement = overthinking(asked, ground)
    assert isinstance(figure, Drawing) and b">layers kept<" in figure.svg
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:]] == ["1", "5", "6"]
    assert statement == (
        "**cola**: 5 of 6 layers are best: 47.0 against 45.0 at the full depth (+2.0 points)."
    )


def test_the_deepest_is_best(ground, section):
    *_, statement = overthinking(section(kind="overthinking", methods=["finetune", "first-1"]), ground)
    assert statement == "**cola**: the deepest model is the best one: 45.0 with 6 layers."


def test_a_model_of_several_exits_has_no_one_depth(ground, section):
    first, *rest = overthinking(section(kind="overthinking", methods=["gaml", "first-1"]), ground)
    assert first == "Left out, for it has several exits: gaml." and len(rest) == 3


def test_without_results(ground, section):
    assert list(overthinking(section(kind="overthinking", methods=["lost"]), ground)) == []
