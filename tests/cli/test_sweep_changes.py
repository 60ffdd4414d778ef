import json
from pathlib import Path


def test_a_changed_sweep_leaves_the_results_of_the_unchanged_one_alone(eebench, toy_suite):
    part = ("sweep", "--suite", "moods.yaml", "--method", "pabee", "--seeds", "1", "--set", "epochs=1")
    assert eebench(*part).code == 0
    folder = Path("results/moods-pabee-seed-1-epochs-1")
    content = json.loads((folder / "provenance.json").read_text())
    assert content["suite"]["overrides"] == {"methods": ["pabee"], "seeds": [1], "options": {"epochs": 1}}
    assert content["suite"]["name"] == folder.name and content["seeds"] == [1]
    assert not Path("results/moods").exists()
    assert eebench("report", "--suite", folder.name).code == 0
    answer = eebench("sweep", "--suite", "moods.yaml", "--seeds", "one")
    assert answer.code == 2 and "--seeds one: write whole numbers" in answer.err
