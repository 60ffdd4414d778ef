from eebench.report.sections.ground import Drawing
from eebench.report.sections.layers import layers


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_where_a_curve_passes_the_level(ground, section):
    figure, text = layers(section(kind="layers", methods=["pabee", "gaml"], level="first-5"), ground)
    # first-5 scores 47.0, above every exit; first-1 with 10.0 is below each.
    assert isinstance(figure, Drawing) and b">PABEE<" in figure.svg
    assert rows(text) == [["PABEE", "none", "40.0"], ["GAML-BERT", "none", "43.0"]]
    _, text = layers(section(kind="layers", methods=["pabee", "csdbert"], level="finetune"), ground)
    assert "first exit with at least 45.0 (Fine-tuned)" in text
    _, text = layers(section(kind="layers", methods=["csdbert"], level="first-1"), ground)
    assert rows(text) == [["CsdBERT", "1", "44.0"]]


def test_shares_of_the_level(ground, section):
    asked = section(kind="layers", methods=["pabee", "gaml"], level="finetune", level_shares=[0.95, 0.8])
    figure, text = layers(asked, ground)
    # 45.0: 95% are 42.75, 80% are 36.0. pabee: 20, 30 and 40 at exits 2, 4 and 6; gaml: 23, 33 and 43.
    assert rows(text) == [["PABEE", "none", "none", "6", "40.0"], ["GAML-BERT", "none", "6", "6", "43.0"]]
    assert "first exit with at least 36.0 (80% of Fine-tuned)" in text
    for words in (b">Fine-tuned (full)<", b">95% of Fine-tuned (full)<", b">80% of Fine-tuned (full)<"):
        assert words in figure.svg


def test_without_a_level(ground, section):
    (figure,) = layers(section(kind="layers", methods=["pabee", "gaml"]), ground)
    assert b"(full)" not in figure.svg
    (figure,) = layers(section(kind="layers", methods=["pabee"], level="lost"), ground)
    assert isinstance(figure, Drawing)


def test_single_exits_are_no_curve(ground, section):
    assert list(layers(section(kind="layers", methods=["first-1"], level="finetune"), ground)) == []
