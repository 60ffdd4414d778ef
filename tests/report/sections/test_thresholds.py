from eebench.report.sections.thresholds import thresholds


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_a_row_per_setting_and_one_per_static_method(ground, section):
    asked = section(kind="thresholds", methods=["finetune", "smartbert", "lost"], settings=[0.1, 0.3, 0.5])
    text, meaning, note = thresholds(asked, ground)
    assert [cell.strip() for cell in text.splitlines()[0].strip("|").split("|")] == [
        "method", "entropy", "cola score", "cola score: printed", "cola MFLOPs", "cola MFLOPs: printed",
        "cola cost %", "cola cost %: printed",
    ]  # fmt: skip
    # 0.3 was not swept; FLOPs are 1000 million over the speed-up; 49% is printed where 48.1% is due.
    assert rows(text) == [
        ["Fine-tuned", "-", "45.0", "50.8", "1,000.0", "21,744", "100.0", "100"],
        ["SmartBERT", "0.1", "49.0", "51.5", "625.0", "20,568", "62.5", "94"],
        ["SmartBERT", "0.5", "40.0", "49.9", "400.0", "10,468*", "40.0", "49*"],
    ]
    assert meaning.startswith("Cost:") and note.startswith("Printed: by SmartBERT")


def test_settings_of_another_rule_have_no_printed_number(ground, section):
    asked = section(kind="thresholds", methods=["gaml"], rule="patience", settings=[2.0])
    text, _ = thresholds(asked, ground)
    assert rows(text) == [["GAML-BERT", "2", "38.0 ± 1.0", "500.0", "50.0"]]


def test_nothing_swept(ground, section):
    assert list(thresholds(section(kind="thresholds", methods=["csdbert"]), ground)) == []
