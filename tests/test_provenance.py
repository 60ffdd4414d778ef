import json
from dataclasses import replace
from importlib.metadata import version

import eebench
from eebench.choices import MethodChoice, Tuned
from eebench.engine.local import Outcome
from eebench.methods.catalogue import find_method
from eebench.plan import Planner
from eebench.provenance import LIBRARIES, method_facts, provenance, title
from eebench.sections import read_sections
from eebench.suites import load_suite


def test_inputs_versions_and_settings(toy_suite):
    suite = load_suite(str(toy_suite))
    cells = Planner(None, "fp32").plan(suite).cells
    found = provenance(suite, [Outcome(cell, "ok") for cell in cells])
    assert found["suite"] == {"name": "moods", "description": "two methods on the toy task"}
    job = cells[0].job
    assert found["backbones"] == {"toy": job.spec.backbone} and len(job.spec.backbone) == 64
    assert found["tasks"] == {
        "moods": {
            "data": job.data.fingerprint,
            "metric": "accuracy",
            "metrics": ["accuracy"],
            "dev": 48,
            "train": 96,
            "one_class": 0.5,
            "one_class_by_metric": {"accuracy": 0.5},
        }
    }
    assert found["rules"] == {"budgeted": "default", "entropy": [0.0, 0.3, 0.6], "patience": "default"}
    assert found["seeds"] == [1, 2] and found["cost"] == {"convention": "full_2mac", "length": 128}
    first = found["methods"]["first-1"]
    assert (first["method"], first["title"], first["options"]["k"]) == (
        "first-k",
        "First layer",
        1,
    )
    assert found["methods"]["shallow-deep"]["recipe"] == found["methods"]["pabee"]["recipe"] == "pabee"
    assert found["versions"]["eebench"] == eebench.__version__
    assert {name: found["versions"][name] for name in LIBRARIES} == {
        name: version(name) for name in LIBRARIES
    }


def test_neither_place_nor_time_is_in_it(toy_suite):
    suite = load_suite(str(toy_suite))
    outcomes = [Outcome(cell, "ok") for cell in Planner(None, "fp32").plan(suite).cells]
    text = json.dumps(provenance(suite, outcomes))
    assert str(toy_suite.parent) not in text and text == json.dumps(provenance(suite, outcomes))


def test_cells_without_data_leave_no_trace_of_their_task(toy_suite):
    suite = load_suite(str(toy_suite))
    cells = [replace(cell, job=None) for cell in Planner(None, "fp32").plan(suite).cells]
    found = provenance(suite, [Outcome(cell, "failed", "no data") for cell in cells])
    assert found["tasks"] == found["backbones"] == {} and len(found["methods"]) == 5


def test_titles_name_the_label_where_it_says_more():
    pabee, first = find_method("pabee"), find_method("first-k")
    assert title(MethodChoice(label="pabee", method=pabee, options=pabee.options_type())) == "PABEE"
    assert title(MethodChoice(label="slow", method=pabee, options=pabee.options_type())) == "PABEE (slow)"
    assert (
        title(MethodChoice(label="first-2", method=first, options=first.options_type(k=2)))
        == "First 2 layers"
    )
    assert (
        title(MethodChoice(label="first-1", method=first, options=first.options_type(k=1))) == "First layer"
    )


def test_seeds_and_sections_that_a_suite_has_of_its_own(toy_suite):
    suite = load_suite(str(toy_suite))
    assert "sections" not in provenance(suite, []) and "seeds" not in method_facts(suite.choices[0])
    more = suite.choices[0].model_copy(update={"seeds": (2, 7)})
    (section,) = read_sections([{"kind": "training-steps", "methods": ["finetune"]}])
    found = provenance(suite.model_copy(update={"choices": [more], "sections": [section]}), [])
    assert found["seeds"] == [1, 2, 7] and found["methods"]["finetune"]["seeds"] == [2, 7]
    assert found["sections"] == [{"kind": "training-steps", "methods": ["finetune"]}]


def test_options_of_single_tasks_and_what_a_search_chose(toy_suite):
    suite = load_suite(str(toy_suite))
    choice = suite.choices[0]
    assert not {"task_options", "searched", "chosen"} & set(method_facts(choice))
    own = choice.options.model_copy(update={"lr": 1e-3, "epochs": 1})
    tuned = {("moods", "toy"): Tuned(values={"batch_size": 8}), ("moods", "bert"): Tuned(problem="why")}
    facts = method_facts(
        choice.model_copy(
            update={
                "by_task": {"moods": own},
                "searched": {"batch_size": [8, 16]},
                "tuned": tuned,
                "rule": "entropy",
            }
        )
    )
    assert facts["options"]["lr"] == 5e-3 and facts["task_options"] == {"moods": {"lr": 1e-3, "epochs": 1}}
    assert facts["searched"] == {"batch_size": [8, 16]} and facts["default_rule"] == "entropy"
    assert facts["chosen"] == {"moods": {"toy": {"batch_size": 8}, "bert": None}}
    json.dumps(facts)
