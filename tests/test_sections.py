import subprocess
import sys

import pytest
from pydantic import ValidationError

from eebench.reference.keys import (
    COSTEFF_BACKBONES,
    COSTEFF_MAIN,
    COSTEFF_SHAPES,
    Key,
    keys_beside,
    keys_of,
    printed_row,
)
from eebench.sections import KINDS, Known, dump_sections, kind_of, layers_of, no_kind, read_sections
from eebench.suites import load_suite, suite_names

PAIR = {"direct": ["a", "b"], "joint": "c", "deep_to_shallow": "d", "shallow_to_deep": "e", "mutual": "c"}
EXAMPLES = [
    {"kind": "pairs", "pairs": {"1&6": PAIR}},
    {"kind": "histogram", "methods": ["a"], "quantity": "c"},
    {"kind": "sensitivity", "methods": ["a"], "option": "alpha"},
    {"kind": "training-steps", "methods": ["a"]},
    {"kind": "strategies", "methods": ["a"], "rules": ["entropy"]},
    {"kind": "overthinking", "methods": ["a"]},
    {"kind": "comparison", "control": "b", "methods": ["a", "b"]},
    {"kind": "alignment", "methods": ["a"], "theta": 0.06, "rule": "cka"},
    {"kind": "thresholds", "methods": ["a"], "rule": "entropy", "settings": [0.1, 0.5]},
    {"kind": "skipping", "methods": ["a"]},
    {"kind": "front", "methods": ["a"], "score_share": 0.95},
    {"kind": "layers", "methods": ["a"], "level": "b"},
    {"kind": "simple", "methods": ["a"], "speedups": {}},
    {"kind": "compression", "methods": ["a"], "speedups": {"a": 19.0}},
    {"kind": "elue", "methods": ["a"], "reference": "b"},
    {"kind": "average", "methods": ["gaml"]},
    {"kind": "shapes", "methods": ["a"], "backbones": ["x", "y"]},
    {"kind": "operations", "methods": ["a"], "missing": {"Table 9": "of which nothing is known"}},
]
KNOWN = Known(tasks=["rte"], rules=["entropy"], options={"a": ["alpha", "head"], "b": ["alpha"]})


def section(**keys):
    (found,) = read_sections([keys])
    return found


def test_every_kind_survives_the_results_folder():
    sections = read_sections(EXAMPLES)
    assert [found.kind for found in sections] == list(KINDS)
    assert dump_sections(sections) == EXAMPLES
    assert read_sections(dump_sections(sections)) == sections


def test_titles():
    assert section(**EXAMPLES[1]).shown_title == "Distribution of c over training steps"
    assert section(**EXAMPLES[2]).shown_title == "Sensitivity to alpha"
    assert section(**EXAMPLES[6]).shown_title == "Compared with b"
    assert section(**EXAMPLES[6], title="Mine {x}").shown_title == "Mine {x}"
    delta = {"kind": "histogram", "methods": ["a"], "quantity": "delta"}
    assert section(**delta).shown_title == "Distribution of delta over layers and samples"
    assert section(**delta, title="Mine").shown_title == "Mine"


def test_labels_come_once():
    assert section(**EXAMPLES[0]).labels == ["a", "b", "c", "d", "e"]
    assert section(**EXAMPLES[6]).labels == ["b", "a"]
    assert section(kind="layers", methods=["a"], level="b").labels == ["a", "b"]
    assert section(kind="layers", methods=["a"]).labels == ["a"]
    assert section(kind="elue", methods=["a"], reference="b").labels == ["b", "a"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kind": "overthinking", "methods": []}, "at least 1 item"),
        ({"kind": "overthinking", "methods": ["a", "a"]}, "'a' is listed twice; remove one"),
        ({"kind": "histogram", "methods": ["a"], "quantity": "speed"}, "'angle', 'c' or 'delta'"),
        ({"kind": "comparison", "methods": ["a"]}, "control\n  Field required"),
        ({"kind": "pairs", "pairs": {}}, "at least 1 item"),
        ({"kind": "front", "methods": ["a"], "cost_share": 1.5}, "less than or equal to 1"),
        ({"kind": "thresholds", "methods": ["a"], "settings": []}, "at least 1 item"),
        ({"kind": "elue", "methods": ["a"]}, "reference\n  Field required"),
        ({"kind": "simple", "methods": ["a"], "speedups": {"a": 0.0}},
         "the speed-up of 'a' is 0.0; write a number above 0, such as 19"),
        ({"kind": "front", "methods": ["a"], "backbones": ["x", "x"]}, "'x' is listed twice; remove one"),
        ({"kind": "front", "methods": ["a"], "backbones": []}, "at least 1 item"),
        ({"kind": "front", "methods": ["a"], "missing": {}}, "at least 1 item"),
        ({"kind": "layers", "methods": ["a"], "level_shares": [0.95, 1.0]}, "1.0 is no share of the level"),
        ({"kind": "pairs", "pairs": {"6&1": PAIR}}, "'6&1' names no pair; write two layers"),
        ({"kind": "pairs", "pairs": {"one": PAIR}}, "'one' names no pair"),
        ({"kind": "pairs", "pairs": {"1&6": {**PAIR, "mutal": "a"}}},
         "unknown key 'mutal' in 1&6; did you mean 'mutual'?  known: direct, joint"),
        ({"kind": "pairs", "pairs": {"1&6": {**PAIR, "direct": ["a"]}}}, "at least 2 items"),
    ],
)  # fmt: skip
def test_malformed_sections(keys, message):
    with pytest.raises(ValidationError) as caught:
        read_sections([keys])
    assert message in str(caught.value)


def test_names_the_suite_does_not_have():
    assert list(section(**EXAMPLES[6]).problems(KNOWN, "here")) == []
    found = section(kind="strategies", methods=["a", "x"], tasks=["rtee"], rules=["entropi"])
    assert list(found.problems(KNOWN, "here")) == [
        "unknown method 'x' in here; the suite has a, b.",
        "unknown task 'rtee' in here; did you mean 'rte'?  the suite has rte.",
        "unknown rule 'entropi' in here; did you mean 'entropy'?  the suite has entropy.",
    ]


def test_backbones_are_those_of_the_suite():
    known = Known(KNOWN.tasks, KNOWN.rules, KNOWN.options, ["toy"])
    found = section(kind="front", methods=["a"], backbones=["toi"]).problems(known, "here")
    assert list(found) == ["unknown backbone 'toi' in here; did you mean 'toy'?  the suite has toy."]


@pytest.mark.parametrize("name", suite_names())
def test_methods_of_sections_are_run_on_a_backbone_of_theirs(name):
    suite = load_suite(name)
    choices = {choice.label: choice for choice in suite.choices}
    for section in suite.sections:
        for label in section.labels:
            runs_on = choices[label].backbones or set(suite.backbones)
            assert runs_on & set(section.backbones or suite.backbones), (section.shown_title, label)


def test_the_rows_of_cost_effs_tables_are_those_of_their_checkpoints():
    """Every printed model of Tables 2, 3 and 5 is a method on its checkpoint, or named as missing."""
    suite = load_suite("costeff")
    for table in (COSTEFF_SHAPES, COSTEFF_MAIN, COSTEFF_BACKBONES):
        beside = [
            printed_row(key)["printed"]
            for choice in suite.choices for backbone in choice.backbones
            for item in ("", "shape", "repeated from Table 3")
            for key in keys_beside(Key(table, choice.label, backbone, "", item, quantity="layers")
                                   if table == COSTEFF_SHAPES else Key(table, choice.label, backbone, "mnli", item))
            if printed_row(key) is not None
        ]  # fmt: skip
        printed = {printed_row(key)["printed"] for key in keys_of(table)}
        # TinyBERT's and, of a size, the released students: with general distillation, which nothing here does.
        assert printed - set(beside) <= {"TinyBERT4", "TinyBERT6"}, table


def test_an_option_is_one_of_every_method():
    assert not list(section(kind="sensitivity", methods=["a"], option="head.pooling").problems(KNOWN, "here"))
    found = section(kind="sensitivity", methods=["a", "b"], option="head.pooling").problems(KNOWN, "here")
    assert list(found) == ["unknown option 'head.pooling' in here; b has alpha."]


def test_what_is_no_section():
    assert kind_of({"kind": "pairs"}) is KINDS["pairs"]
    assert kind_of("pairs") is kind_of({"kind": 3}) is kind_of({"kind": ["pairs"]}) is None
    assert no_kind("pairs", "here").startswith("here: write a mapping with a kind, one of pairs, histogram")
    with pytest.raises(ValueError, match=r"unknown kind 'pair' in sections\[0\]; did you mean 'pairs'"):
        read_sections([{"kind": "pair"}])


def test_layers_of_a_pair():
    assert layers_of("1&12") == (1, 12)
    assert [layers_of(text) for text in ("1", "1&2&3", "a&b", "-1&2", "1&²")] == [None] * 5


def test_nothing_heavy_is_imported():
    command = "import sys, eebench.sections; print(sorted({'torch', 'pandas'} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", command], text=True) == "[]\n"


@pytest.mark.parametrize("kind", ["alignment", "thresholds"])
def test_the_rule_of_a_section_is_swept(kind):
    found = section(kind=kind, methods=["a"], rule="entropie").problems(KNOWN, "here")
    assert list(found) == ["unknown rule 'entropie' in here; did you mean 'entropy'?  the suite has entropy."]


def test_speed_ups_are_of_methods_of_the_section():
    found = section(kind="compression", methods=["a"], speedups={"b": 2.0}).problems(KNOWN, "here")
    assert list(found) == ["unknown method 'b' in here; the section has a."]
