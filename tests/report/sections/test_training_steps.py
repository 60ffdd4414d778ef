from eebench.report.sections.training_steps import training_steps


def test_steps_beside_the_printed_ones(ground, section):
    text, meaning, note = training_steps(
        section(kind="training-steps", methods=["pabee", "gaml-small", "lost"]), ground
    )
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    # Seeds 1 and 2 took 1100 and 1200 steps: mean 1150, deviation 100 / sqrt(2).
    assert found == [
        ["PABEE", "2", "1,150 ± 71", "2,100"],
        ["GAML-BERT (gaml-small)", "2", "1,100", "1,800"],
        ["lost", "none", "-", "-"],
    ]
    assert "mean over seeds" in meaning and "GAML-BERT" in note


def test_without_results(ground, section):
    assert list(training_steps(section(kind="training-steps", methods=["lost"]), ground)) == []
