from eebench.report.sections.front import front
from eebench.report.sections.ground import Drawing

METHODS = ["finetune", "pabee"]


def test_chosen_methods_and_guides(ground, section):
    (figure,) = front(section(kind="front", methods=METHODS, score_share=0.95, cost_share=0.05), ground)
    assert isinstance(figure, Drawing)
    guides = (b"95% of the score: Fine-tuned<", b"5% of the FLOPs: Fine-tuned<")
    for text in (b"PABEE, patience<", b"Pareto front<", *guides):
        assert text in figure.svg
    assert b"GAML-BERT" not in figure.svg


def test_no_guides_unless_asked_for(ground, section):
    (figure,) = front(section(kind="front", methods=METHODS), ground)
    assert b"of the score" not in figure.svg


def test_without_a_full_model(ground, section):
    exits = ground.exits[ground.exits["base"] != "finetune"]
    without = type(ground)(**{**vars(ground), "exits": exits})
    figure, text = front(section(kind="front", methods=["pabee"], cost_share=0.05), without)
    assert b"of the FLOPs" not in figure.svg
    assert text == "No guide lines on cola: the results have no full model there."
    assert len(list(front(section(kind="front", methods=["pabee"]), without))) == 1


def test_nothing_to_show(ground, section):
    assert list(front(section(kind="front", methods=["lost"]), ground)) == []
