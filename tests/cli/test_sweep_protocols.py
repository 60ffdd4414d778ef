"""Sweeps whose settings or hyper-parameters are chosen on their own: blind protocol, search, the GAML suite."""

import json
from pathlib import Path

SWEEP = ("sweep", "--suite", "small.yaml")
HOLDING = {"epochs": 1, "lr": 5e-3, "batch_size": 16, "holdout": 0.25}


def test_a_blind_sweep_and_its_report(eebench, write_suite, rows_of, result_bytes):
    write_suite(methods=["finetune", "pabee"], protocol="blind", defaults=HOLDING)
    assert eebench(*SWEEP).code == 0
    assert {row["split"] for row in rows_of("points")} == {"dev", "holdout"}
    assert len(list(Path("runs").glob("*/trace-holdout.safetensors"))) == 2
    before = result_bytes()
    assert eebench(*SWEEP).code == 0 and result_bytes() == before
    assert eebench("report", "--suite", "small").code == 0
    page = Path("results/small/README.md").read_text(encoding="utf-8")
    assert "blind (settings are chosen on a slice" in page and "toy, holdout" not in page


def test_a_blind_suite_without_a_slice_says_what_to_write(eebench, write_suite):
    write_suite(methods=["finetune"], protocol="blind")
    answer = eebench(*SWEEP)
    assert (answer.code, answer.out) == (2, "") and not Path("runs").exists()
    assert answer.err.startswith("error: small.yaml: protocol: blind chooses settings on a slice held out of")
    assert "set `holdout: 0.1` in defaults" in answer.err


def test_a_search_from_dry_run_to_results(eebench, write_suite, rows_of):
    write_suite(methods=["pabee", "gaml"], seeds=[1, 2], search={"lr": [1e-6, 5e-3], "alpha": [0.2, 0.6]},
                defaults=HOLDING, protocol="blind")  # fmt: skip
    answer = eebench(*SWEEP, "--dry-run")
    assert answer.code == 0 and not Path("runs").exists()
    assert answer.out.count("to train") == 6 and "gaml with lr=0.005, alpha=0.6" in answer.out
    assert answer.out.endswith("These include a search; the final runs of 4 cells depend on it.\n")
    assert [row.split()[0] for row in eebench("status", "--suite", "small.yaml").out.splitlines()[2:]] == [
        "missing"
    ] * 6
    assert eebench(*SWEEP).code == 0
    runs = rows_of("runs")
    assert [(row["method"], row["status"], row["configurations"]) for row in runs] == [
        ("pabee", "ok", "2"), ("pabee", "ok", "2"), ("gaml", "ok", "4"), ("gaml", "ok", "4"),
    ]  # fmt: skip
    methods = json.loads(Path("results/small/provenance.json").read_text(encoding="utf-8"))["methods"]
    assert methods["pabee"]["searched"] == {"lr": [1e-6, 5e-3]}
    assert set(methods["gaml"]["chosen"]["moods"]["toy"]) == {"lr", "alpha"}
    # six runs of the search, two more for the second seed of the two winners; dev is traced for those that count
    assert len(list(Path("runs").glob("*/done.json"))) == 8
    assert len(list(Path("runs").glob("*/trace-dev.json"))) == 4
    answer = eebench(*SWEEP, "--dry-run")
    assert answer.out.endswith("4 runs for 4 cells: 4 cached, 0 not.\n")
    assert [row.split()[0] for row in eebench("status", "--suite", "small.yaml").out.splitlines()[2:]] == [
        "ok"
    ] * 4


def test_a_search_that_fails_is_a_failed_cell_with_its_reason(eebench, write_suite, rows_of):
    write_suite(methods=["pabee", "finetune"], search={"lr": [1e29, 1e30]})
    answer = eebench(*SWEEP)
    assert answer.code == 1
    assert {row["status"] for row in rows_of("runs")} == {"failed"}
    assert all(
        row["reason"].startswith("none of the 2 runs of its search has a result; the first: the loss is not")
        for row in rows_of("runs")
    )


def test_the_gaml_suite_without_a_network_is_one_message(eebench, tmp_path):
    answer = eebench("sweep", "--suite", "gaml", "--dry-run", "--data-dir", tmp_path)
    assert (answer.code, answer.out) == (2, "") and len(answer.err.splitlines()) == 1
    assert answer.err.startswith("error: cannot get backbone 'bert-base-uncased' from the hub (")
    assert "give a local directory" in answer.err


def test_the_gaml_suite_with_a_backbone_at_hand_says_which_data_are_missing(eebench, tmp_path):
    text = (Path(__file__).parents[2] / "suites" / "gaml.yaml").read_text(encoding="utf-8")
    (tmp_path / "gaml.yaml").write_text(text.replace("[bert-base-uncased]", "[toy]"), encoding="utf-8")
    # The pilot and the models of one depth each need twelve layers, the main table does not.
    answer = eebench(
        "sweep", "--suite", tmp_path / "gaml.yaml", "--dry-run", "--data-dir", tmp_path, "--runs", tmp_path,
        "--only", "method=shallow-deep,method=deebert",
    )  # fmt: skip
    assert answer.code == 0 and answer.out.count("cannot run") == 7 * 2 * 5
    assert "no files of cola in" in answer.out and answer.out.endswith(
        "0 runs for 0 cells: 0 cached, 0 not.\n"
    )
