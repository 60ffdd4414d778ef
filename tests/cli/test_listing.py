import json

import pytest

from eebench.cost.conventions import CONVENTIONS
from eebench.methods.catalogue import methods
from eebench.reference import reference_names
from eebench.rules.catalogue import RULES
from eebench.tasks.metrics import METRICS
from eebench.tasks.specs import task_names

KINDS = {
    "methods": list(methods()), "rules": list(RULES), "tasks": task_names(), "metrics": list(METRICS),
    "conventions": list(CONVENTIONS), "references": reference_names(),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_each_kind(eebench, kind):
    answer = eebench("list", kind, "--json")
    assert answer.code == 0 and json.loads(answer.out) == KINDS[kind]
    text = eebench("list", kind).out.splitlines()
    assert [line.split()[0] for line in text[2:]] == KINDS[kind]


def test_tables_say_what_a_name_is(eebench):
    assert "PABEE (Zhou et al. 2020)" in eebench("list", "methods").out
    rte = next(line for line in eebench("list", "tasks").out.splitlines() if line.startswith("rte "))
    assert rte.split() == ["rte", "glue", "2", "accuracy", "2490", "277"]
    assert "patience (agreeing exits)" in eebench("list", "rules").out


def test_backbones(eebench):
    names = json.loads(eebench("list", "backbones", "--json").out)
    assert {"minilm-l6", "bert-base-uncased", "<directory>"} <= set(names)


def test_suites_with_their_description(eebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "mine.yaml").write_text(
        "description: one of my own\nmore: text\n", encoding="utf-8"
    )
    assert {"mine", "quickstart"} <= set(json.loads(eebench("list", "suites", "--json").out))
    line = next(line for line in eebench("list", "suites").out.splitlines() if line.startswith("mine "))
    assert line.split(maxsplit=1)[1] == "one of my own"


def test_an_unknown_kind(eebench):
    answer = eebench("list", "method")
    assert answer.code == 2
    assert answer.err.startswith(
        "error: unknown kind 'method'; did you mean 'methods'?  choose one of: methods, rules"
    )
