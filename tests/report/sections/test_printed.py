from eebench.report.sections.printed import cell, column, items, main_results, note, paper_of, printed


def test_items_of_a_paper():
    row = printed("cola", "gaml", "alpha=0.3")
    assert (row["paper"], row["score"]) == ("GAML-BERT", 51.1)
    assert printed("cola", "gaml", "alpha=0.4") is printed("rte", "gaml", "alpha=0.3") is None
    assert printed("cola", "gaml", "") is None  # main results are shown elsewhere
    assert items("pair=")[0] == "pair=1&12;exit=1" and len(items("pair=")) == 4


def test_a_column_is_there_when_a_paper_has_a_number():
    row = printed("cola", "gaml", "alpha=0.3")
    assert column("a|b", [None, row]) == (["a\\|b: printed"], [["-"], ["51.1"]])
    assert column("cola", [None, None]) == ([], [[], []])
    assert paper_of([None, row]) == "GAML-BERT" and paper_of([]) == ""


def test_cells():
    steps = printed("cola", "fastbert", "steps until early stopping")
    assert cell(steps, 0) == "2,000*"  # its label is in doubt
    assert cell(printed("cola", "pabee", "steps until early stopping"), 0) == "2,100"
    assert cell(printed("sst2", "finetune", "pilot")) == "-"  # lost in the text


def test_the_note_names_each_paper_once():
    row = printed("cola", "gaml", "alpha=0.3")
    (text,) = note([None, row, row])
    assert text.startswith("Printed: by GAML-BERT, for BERT-base")
    assert list(note([None])) == []


def test_main_results_of_a_method_on_a_backbone():
    rows = main_results("SmartBERT", "cola", "smartbert", "toy")
    assert rows["setting"].tolist() == ["S=0.1", "S=0.3", "S=0.5"]
    # Printed for three backbones: the one asked for, else BERT-base.
    assert main_results("COST-EFF", "sst2", "finetune", "toy")["score"].tolist() == [93.1]
    small = main_results("COST-EFF", "sst2", "finetune", "google/bert_uncased_L-8_H-256_A-4")
    assert small["score"].tolist() == [88.4]
    assert main_results("COST-EFF", "sst2", "tinybert4", "toy")["score"].tolist() == [89.7]
    assert main_results("COST-EFF", "sst2", "tinybert5", "toy").empty


def test_a_doubt_marks_the_cell_it_names():
    row = main_results("SmartBERT", "rte", "smartbert", "toy").iloc[0]  # "flops: 249M more than ..."
    assert (cell(row), cell(row, 0, "flops"), cell(row, 0, "cost_percent")) == ("60.6", "12,684*", "58")
    assert column("rte MFLOPs", [row], 0, "flops") == (["rte MFLOPs: printed"], [["12,684*"]])


def test_backbones_are_the_same_by_their_last_name_and_other_metrics_are_marked():
    rows = main_results("CsdBERT", "qqp", "csdbert", "fnlp/bert-base-uncased", "f1")
    assert (cell(rows.iloc[0]), rows["other"].tolist()) == ("90.0†", [True])
    first, second = note([rows.iloc[0]])
    assert first.startswith("Printed: by CsdBERT") and second.startswith("† marks")
    same = main_results("CsdBERT", "qqp", "csdbert", "toy", "acc_f1").iloc[0]
    assert cell(same) == "90.0" and len(list(note([same]))) == 1
    small = main_results("COST-EFF", "sst2", "finetune", "folder/bert_uncased_L-8_H-256_A-4")
    assert small["score"].tolist() == [88.4]
