from dataclasses import replace

from eebench.report.sections.operations import operations


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_each_operation_that_a_method_has(ground, section):
    text, meaning = operations(
        section(kind="operations", methods=["gaml-small", "smartbert", "lost"]), ground
    )
    # Layers of gaml-small cost 2.001 to 2.006 million; it has no gates.
    assert rows(text) == [
        ["GAML-BERT (gaml-small)", "transformer layer", "2.001 to 2.006"],
        ["GAML-BERT (gaml-small)", "classifier", "0.040"],
        ["SmartBERT", "transformer layer", "2.000"],
        ["SmartBERT", "classifier", "0.040"],
        ["SmartBERT", "skipping gate", "0.031"],
    ]
    assert meaning == "Per sample, full_2mac@128, for the classes of the suite's first task."


def test_the_printed_numbers_are_of_smartbert_on_bert_base(ground, section):
    bert = replace(ground, backbone="bert-base-uncased")
    asked = section(kind="operations", methods=["finetune", "smartbert"])
    text, meaning, note = operations(asked, bert)
    assert [row[1:] for row in rows(text)] == [
        ["transformer layer", "2.000", "-"], ["classifier", "0.040", "-"], ["transformer layer", "2.000", "1,811.8"],
        ["classifier", "0.040", "37.6"], ["skipping gate", "0.031", "37.4"],
    ]  # fmt: skip
    assert meaning.endswith("The printed numbers are linear_2mac@128: they do not compare with these.")
    assert note.startswith("Printed: by SmartBERT (Table 2), for bert-base-uncased")
    same = replace(bert, layers=bert.layers.assign(convention="linear_2mac@128"))
    assert "do not compare" not in list(operations(asked, same))[1]


def test_nothing_to_show(ground, section):
    assert list(operations(section(kind="operations", methods=["lost"]), ground)) == []
    without = replace(ground, layers=ground.layers.iloc[:0])
    assert list(operations(section(kind="operations", methods=["smartbert"]), without)) == []
