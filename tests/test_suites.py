import re
from pathlib import Path

import pytest

from eebench.errors import ConfigError, UnknownName
from eebench.methods.catalogue import find_method
from eebench.options import resolve_options
from eebench.reference import reference_table
from eebench.rules.base import Geometry
from eebench.rules.catalogue import find_rule, rule_family
from eebench.suites import (
    check_thresholds,
    find_suite,
    is_local,
    load_suite,
    suite_names,
    twice,
    without_keys,
)

HEAD = "backbones: [toy]\ntasks: [rte]\n"


@pytest.fixture
def problems(tmp_path, monkeypatch):
    """`problems(text)` are the mistakes found in that suite, each without its list of known keys."""
    monkeypatch.chdir(tmp_path)

    def find(text):
        Path("s.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load_suite("s.yaml")
        return caught.value.problems

    return find


def test_a_suite_is_read_with_its_methods_expanded(toy_suite):
    suite = load_suite(str(toy_suite))
    assert (suite.name, suite.description) == ("moods", "two methods on the toy task")
    assert [choice.label for choice in suite.choices] == [
        "finetune",
        "first-1",
        "pabee",
        "shallow-deep",
        "deebert",
    ]
    assert all((choice.options.epochs, choice.options.lr) == (2, 5e-3) for choice in suite.choices)
    assert suite.rules == {"budgeted": None, "entropy": [0.0, 0.3, 0.6], "patience": None}
    (task,) = suite.tasks
    assert (task.name, task.labels, task.metric) == ("moods", ("negative", "positive"), "accuracy")
    assert (suite.seeds, suite.protocol) == ([1, 2], "paper")
    assert (suite.cost.convention, suite.cost.length) == ("full_2mac", 128)


def test_options_beat_defaults_and_each_beats_both(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        HEAD + "defaults: {lr: 1e-4, head: {pooler: none}}\nmethods:\n"
        "  - {name: joint, label: slow, options: {lr: 1e-5, epochs: 2}}\n"
        "  - {name: first-k, options: {lr: 1e-5}, each: {k: [1, 2], lr: [3]}}\n",
        encoding="utf-8",
    )
    slow, one, two = load_suite(str(path)).choices
    assert (slow.label, slow.options.lr, slow.options.epochs, slow.options.head.pooler) == (
        "slow",
        1e-5,
        2,
        "none",
    )
    assert (one.label, one.options.k, two.label, two.options.k) == ("first-1", 1, "first-2", 2)
    assert one.options.lr == 3.0


def test_suites_are_found_by_name_here_and_beside_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "quickstart" in suite_names()
    Path("suites").mkdir()
    Path("suites", "mine.yaml").write_text("", encoding="utf-8")
    Path("suites", "quickstart.yaml").write_text("", encoding="utf-8")
    assert suite_names().count("quickstart") == 1 and suite_names() == sorted(suite_names())
    assert find_suite("mine") == find_suite("suites/mine.yaml") == Path("suites", "mine.yaml")
    assert find_suite("quickstart") == Path("suites", "quickstart.yaml")
    with pytest.raises(UnknownName, match="unknown suite 'quikstart'; did you mean 'quickstart'"):
        find_suite("quikstart")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "methods: [pabbe]", "unknown method 'pabbe' in s.yaml: methods[0]; did you mean 'pabee'?"),
        ("backbones: [toy]\ntasks: [joy, rtee]\nmethods: [joint]",
         "unknown task 'rtee' in s.yaml: tasks[1]; did you mean 'rte'?"),
        ("backbones: [minilm-l7]\ntasks: [rte]\nmethods: [joint]",
         "unknown backbone 'minilm-l7' in s.yaml: backbones[0]; did you mean 'minilm-l6'?"),
        ("backbones: [toy, ./nowhere]\ntasks: [rte]\nmethods: [joint]", "s.yaml: backbones[1]: no directory ./nowhere"),
        (HEAD + "methods: [joint]\nrules: {entropi: default}",
         "unknown rule 'entropi' in s.yaml: rules; did you mean 'entropy'?"),
        (HEAD + "methods: [joint]\ncost: {convention: full_2mak}",
         "unknown convention 'full_2mak' in s.yaml: cost; did you mean 'full_2mac'?"),
        (HEAD + "methods: [joint]\ncost: {convention: layers}",
         "s.yaml: cost: layers counts layers, results are in FLOPs and layers; choose full_2mac, linear_2mac or"),
        (HEAD + "methods: [joint]\nseed: [1]", "unknown key 'seed' in s.yaml; did you mean 'seeds'?"),
        (HEAD + "methods: [joint]\n1: 2", "s.yaml: [1]: Keys should be strings"),
        (HEAD + "methods: [joint]\nseeds: [one]", "s.yaml: seeds[0]: Input should be a valid integer (got 'one')."),
        (HEAD + "methods: [joint]\nname: ../up", "s.yaml: name: String should match pattern"),
        (HEAD + "methods: [joint]\nprotocol: best",
         "s.yaml: protocol: Input should be 'paper' or 'blind' (got 'best')."),
        (HEAD + "methods: [joint]\ncost: {length: 0}", "s.yaml: cost.length: write a number of tokens, 1 or"),
        (HEAD + "methods: [joint]\ncost: {lenth: 9}", "unknown key 'cost.lenth' in s.yaml; did you mean 'length'?"),
        (HEAD, "missing key 'methods' in s.yaml."),
        (HEAD + "methods: []", "s.yaml: methods: List should have at least 1 item"),
        (HEAD + "methods: [3]", "s.yaml: methods[0]: write a name, or a mapping with name, label, options"),
        (HEAD + "methods: [{nme: joint}]", "unknown key 'nme' in s.yaml: methods[0]; did you mean 'name'?"),
        (HEAD + "methods: [{name: joint, options: {lr: fast}}]",
         "s.yaml: methods[0] (joint): lr: Input should be a valid number (got 'fast')."),
        (HEAD + "methods: [{name: joint, options: {epoch: 1}}]",
         "unknown key 'epoch' in s.yaml: methods[0] (joint); did you mean 'epochs'?"),
        (HEAD + "methods: [{name: first-k, each: {k: []}}]",
         "s.yaml: methods[0] (first-k): each: 'k' lists no value; give one or more."),
        (HEAD + "methods: [joint, joint]", "s.yaml: methods: two entries are called 'joint'; give one a `label:`."),
        (HEAD + "methods: [joint]\nseeds: [1, 2, 1]", "s.yaml: seeds: '1' is listed twice; remove one."),
        ("backbones: [toy]\ntasks: [rte]\nmethods: [{name: joint, backbones: [toi]}]",
         "unknown backbone 'toi' in s.yaml: methods[0] (joint): backbones; did you mean 'toy'?  the suite has toy."),
        ("backbones: [toy, toy]\ntasks: [rte]\nmethods: [joint]", "s.yaml: backbones: 'toy' is listed twice"),
        ("backbones: [toy]\ntasks: [rte, rte]\nmethods: [joint]", "s.yaml: tasks: 'rte' is listed twice"),
        ("backbones: [toy]\ntasks: [{name: rte, train: a.csv, dev: b.csv, text: [t], label: l, labels: [a, b]}]\n"
         "methods: [joint]", "s.yaml: tasks[0]: task name 'rte' is taken by a built-in task"),
        ("backbones: [toy]\ntasks: [{name: x, train: a.csv, dev: b.csv, text: [t], label: l, metric: acuracy}]\n"
         "methods: [joint]", "unknown metric 'acuracy' in s.yaml: tasks[0]; did you mean 'accuracy'?"),
        ("backbones: [toy]\ntasks: [{name: x, train: a.csv, dev: b.csv, text: t, label: l}]\nmethods: [joint]",
         "s.yaml: tasks[0]: text: Input should be a valid list (got 't')."),
        ("backbones: [toy]\ntasks: [7]\nmethods: [joint]", "s.yaml: tasks[0]: write a name, or a mapping with"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_place(problems, text, message):
    assert any(problem.startswith(message) for problem in problems(text)), problems(text)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("entropy: [0.1, -1]", r"entropy: S=-1 is outside 0\.\.inf; choose a value in that range\.$"),
        ("entropy: [.nan]", r"entropy: S=nan is outside"),
        ("max-prob: [high]", r"max-prob: write default, or a list of numbers such as .* \(got \['high'\]\)\.$"),
        ("max-prob: [true]", r"max-prob: write default"),
        ("max-prob: 0.5", r"max-prob: write default.*\(got 0\.5\)"),
        ("max-prob: defualt", r"max-prob: write default.*\(got 'defualt'\)"),
        ("max-prob: []", r"max-prob: write default"),
        ("max-prob:", r"max-prob: write default.*\(got None\)"),
        ("patience: [1, 3]", r"patience: patience=3 is outside 1\.\.2"),
        ("budgeted: [0]", r"budgeted: exit=0 is outside 1\.\.2"),
        ("patient-confident: default, patient-confident;t=3: [0.1]", r"'patient-confident;t=3' is there twice"),
        ("patient-confident;u=3: [0.1]", r"rule 'patient-confident' has no knob 'u'"),
        ("entropy: [0.1, 0.1]", r"entropy: S=0\.1 is listed twice; remove one\.$"),
    ],
)  # fmt: skip
def test_thresholds_are_checked_before_anything_is_trained(problems, rule, message):
    (problem,) = problems(HEAD + f"methods: [joint]\nrules: {{{rule}}}")
    assert re.match(r"^s\.yaml: rules: " + message, problem)


def test_the_deepest_backbone_bounds_the_thresholds():
    check_thresholds(find_rule("patience"), [1, 12], Geometry(tuple(range(1, 13)), 2))


def test_a_backbone_on_the_hub_is_not_looked_up(tmp_path):
    path = tmp_path / "s.yaml"
    text = "backbones: [toy, somebody/bert]\ntasks: [rte]\nmethods: [joint]\nrules: {patience: [9]}"
    path.write_text(text, encoding="utf-8")
    assert load_suite(str(path)).rules == {"patience": [9]}
    for name in ("roberta-base", "microsoft/mpnet-base", "bert-base-uncased", "somebody/minilm-l6"):
        path.write_text(text.replace("somebody/bert", name), encoding="utf-8")
        assert load_suite(str(path)).backbones == ["toy", name]
    assert not is_local("somebody/bert") and not is_local("bert-base-uncased")
    assert is_local("toy") and is_local("./x") and is_local(str(tmp_path))


def test_mistakes_of_form_and_of_name_come_together(problems):
    found = problems(
        "backbones: []\ntasks: [rtee, 4]\nmethods: [pabbe, {nme: x}]\nseeds: one\nrules: {entropi: default}\n"
        "cost: {convention: best}\nextra: 1\n"
    )
    starts = [
        "s.yaml: backbones: List", "s.yaml: seeds: Input", "unknown key 'extra'", "missing key 'name'",
        "unknown method 'pabbe' in s.yaml: methods[0]", "unknown key 'nme' in s.yaml: methods[1]",
        "unknown task 'rtee'", "s.yaml: tasks[1]: write a name", "unknown rule 'entropi'",
        "unknown convention 'best'",
    ]  # fmt: skip
    assert len(found) == len(starts)
    assert all(any(problem.startswith(start) for problem in found) for start in starts)


def test_a_mistake_in_defaults_is_told_once_and_there(problems):
    found = problems(
        HEAD
        + "defaults: {epocs: 2, lr: fast}\nmethods: [joint, pabee, {name: deebert, options: {epochs: 0}}]"
    )
    assert [without_keys(problem) for problem in found] == [
        "s.yaml: defaults: lr: Input should be a valid number (got 'fast').",
        "unknown key 'epocs' in s.yaml: defaults",
        "s.yaml: methods[2] (deebert): epochs: Input should be greater than or equal to 1 (got 0).",
    ]


def test_a_missing_data_file_is_left_to_the_cells_but_a_wrong_column_is_not(toy_suite):
    text = toy_suite.read_text(encoding="utf-8")
    toy_suite.write_text(text.replace("train.csv", "gone.csv"), encoding="utf-8")
    (task,) = load_suite("moods.yaml").tasks
    assert task.classes == 2
    toy_suite.write_text(text.replace("label: label", "label: lable"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^moods.yaml: tasks\[0\]: train.csv:1: no column 'lable'"):
        load_suite("moods.yaml")


def test_twice():
    assert twice([3, 1, 3, 2, 1, 3]) == [3, 1]
    assert twice("abc") == []


def test_single_tasks_have_options_of_their_own(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "backbones: [toy]\ntasks: [cola, rte]\ndefaults: {lr: 1e-4, epochs: 9, batch_size: 64}\n"
        "task_defaults: {cola: {lr: 2e-4, epochs: 8, batch_size: 48}}\nmethods:\n  - pabee\n"
        "  - {name: gaml, options: {epochs: 7, batch_size: 40}, each: {kd_norm: [mean]}, rule: entropy,\n"
        "     task_options: {cola: {batch_size: 24, kd_norm: sum, alpha: 0.5}, rte: {alpha: 0.2}}}\n",
        encoding="utf-8",
    )
    pabee, gaml = load_suite(str(path)).choices
    found = {
        (choice.label, task): choice.options_for(task, "toy")
        for choice in (pabee, gaml) for task in ("cola", "rte")
    }  # fmt: skip
    assert {place: (options.lr, options.epochs, options.batch_size) for place, options in found.items()} == {
        ("pabee", "cola"): (2e-4, 8, 48), ("pabee", "rte"): (1e-4, 9, 64),
        ("gaml", "cola"): (2e-4, 7, 24), ("gaml", "rte"): (1e-4, 7, 40),
    }  # fmt: skip
    assert [(found["gaml", task].alpha, found["gaml", task].kd_norm) for task in ("cola", "rte")] == [
        (0.5, "mean"), (0.2, "mean"),
    ]  # fmt: skip
    assert gaml.options.alpha == 0.3 and (gaml.default_rule, pabee.default_rule) == ("entropy", "patience")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task_defaults: {rtee: {lr: 1.0}}\nmethods: [joint]",
         "unknown task 'rtee' in s.yaml: task_defaults; did you mean 'rte'?  the suite has rte."),
        ("methods: [{name: joint, task_options: {cola: {lr: 1.0}}}]",
         "unknown task 'cola' in s.yaml: methods[0] (joint): task_options; the suite has rte."),
        ("task_defaults: {rte: {epoch: 1}}\nmethods: [joint]",
         "unknown key 'epoch' in s.yaml: task_defaults.rte; did you mean 'epochs'?"),
        ("methods: [{name: joint, seeds: [1, 1]}]", "s.yaml: methods[0] (joint): seeds: '1' is listed twice; rem"),
        ("methods: [{name: joint, seeds: []}]", "s.yaml: methods[0]: seeds: List should have at least 1 item"),
        ("methods: [joint]\nsections: {kind: pairs}", "s.yaml: sections: Input should be a valid list"),
        ("methods: [joint]\nsections: [{kind: pair}]",
         "unknown kind 'pair' in s.yaml: sections[0]; did you mean 'pairs'?  known: pairs, histogram,"),
        ("methods: [joint]\nsections: [{kind: overthinking, methods: [joint], task: [rte]}]",
         "unknown key 'task' in s.yaml: sections[0]; did you mean 'tasks'?"),
        ("methods: [joint]\nsections: [{kind: overthinking, methods: [jont]}]",
         "unknown method 'jont' in s.yaml: sections[0]; did you mean 'joint'?  the suite has joint."),
        ("methods: [joint]\nsections: [{kind: strategies, methods: [joint], rules: [entropy]}]",
         "unknown rule 'entropy' in s.yaml: sections[0]; the suite has budgeted."),
        ("methods: [joint]\nsections: [{kind: sensitivity, methods: [joint], option: epoch}]",
         "unknown option 'epoch' in s.yaml: sections[0]; did you mean 'epochs'?  joint has epochs,"),
        ("methods: [{name: joint, tasks: [cola]}]", "unknown task 'cola' in s.yaml: methods[0] (joint): tasks;"),
        ("methods: [{name: joint, task_options: {rte: {alpha: 1.0}}}]",
         "unknown key 'alpha' in s.yaml: methods[0] (joint): task_options.rte;"),
        ("methods: [{name: joint, task_options: {rte: {lr: fast}}}]",
         "s.yaml: methods[0] (joint): task_options.rte: lr: Input should be a valid number (got 'fast')."),
        ("task_defaults: {rte: 3}\nmethods: [joint]", "s.yaml: task_defaults.rte: Input should be a valid"),
        ("methods: [{name: joint, rule: entropi}]",
         "unknown rule 'entropi' in s.yaml: methods[0] (joint): rule; did you mean 'entropy'?"),
        ("search: {lrr: [1.0]}\nmethods: [joint]",
         "unknown key 'lrr' in s.yaml: search; did you mean 'lr'?  no method of the suite has it."),
        ("search: {alpha: [0.1]}\nmethods: [joint]", "unknown key 'alpha' in s.yaml: search; no method"),
        ("search: {lr: []}\nmethods: [joint]", "s.yaml: search: 'lr' lists no value; give one or more."),
        ("search: {lr: [1.0, 1.0]}\nmethods: [joint]", "s.yaml: search: lr: 1.0 is listed twice; remove one."),
        ("search: {lr: [-1.0]}\nmethods: [joint, pabee]",
         "s.yaml: search: lr: Input should be greater than 0 (got -1.0)."),
        ("search: {lr: 1.0}\nmethods: [joint]", "s.yaml: search.lr: Input should be a valid list (got 1.0)."),
        ("protocol: blind\nmethods: [joint]",
         "s.yaml: protocol: blind chooses settings on a slice held out of train, but 'joint' holds nothing out; "
         "set `holdout: 0.1` in defaults or in its options."),
        ("protocol: blind\ntask_defaults: {rte: {holdout: 0.0}}\nmethods: [gaml]",
         "s.yaml: protocol: blind chooses settings on a slice held out of train, but 'gaml' holds"),
        ("protocol: blind\nsearch: {holdout: [0.1]}\nmethods: [gaml]",
         "s.yaml: search: holdout: protocol blind compares on one held-out slice; remove it."),
    ],
)  # fmt: skip
def test_mistakes_in_options_of_tasks_search_and_protocol(problems, text, message):
    (problem,) = problems(HEAD + text)
    assert problem.startswith(message)


def test_a_mistake_in_task_defaults_is_told_once(problems):
    found = problems(HEAD + "task_defaults: {rte: {lr: fast}}\nmethods: [joint, pabee, deebert]")
    assert found == ["s.yaml: task_defaults.rte: lr: Input should be a valid number (got 'fast')."]


def test_a_search_leaves_alone_what_a_method_does_not_have_or_spreads_itself(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        HEAD + "search: {lr: [1e-5, 2e-5], k: [1, 2], alpha: [0.1]}\n"
        "methods: [joint, gaml, first-k, {name: first-k, label: x, each: {k: [1]}}]\n",
        encoding="utf-8",
    )
    assert [list(choice.searched) for choice in load_suite(str(path)).choices] == [
        ["lr"], ["lr", "alpha"], ["lr", "k"], ["lr"],
    ]  # fmt: skip


def test_seeds_of_an_entry_and_sections_of_a_suite(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        HEAD + "seeds: [1]\nmethods: [{name: joint, seeds: [1, 2]}, pabee]\n"
        "sections:\n  - {kind: comparison, control: pabee, methods: [joint], title: T, tasks: [rte]}\n",
        encoding="utf-8",
    )
    suite = load_suite(str(path))
    assert [list(suite.seeds_of(choice)) for choice in suite.choices] == [[1, 2], [1]]
    assert suite.all_seeds == [1, 2] and suite.seeds == [1]
    (section,) = suite.sections
    assert (section.kind, section.labels, section.tasks) == ("comparison", ["pabee", "joint"], ["rte"])


def test_what_sections_name_waits_for_a_suite_that_is_sound_and_their_form_does_not(problems):
    found = problems(
        HEAD + "methods: [{name: joint, label: x, options: {lr: fast}}]\n"
        "sections: [{kind: overthinking, methods: [x]}, {kind: what}]"
    )
    assert [without_keys(problem) for problem in found] == [
        "s.yaml: methods[0] (joint): lr: Input should be a valid number (got 'fast').",
        "unknown kind 'what' in s.yaml: sections[1]",
    ]


def test_the_offline_suite_trains_what_others_train_with_their_options():
    offline = {choice.label: choice for choice in load_suite("gaml-offline").choices}
    glue = {choice.label: choice for choice in load_suite("glue-offline").choices}
    quick = {choice.label: choice for choice in load_suite("quickstart").choices}
    for label in ("finetune", *(f"first-{k}" for k in range(1, 6))):
        assert offline[label].options_for("rotten_tomatoes", "") == quick[label].options
    for label in ("pabee", "ml", "ml-mean", "gaml", "gaml-per-layer", "gaml-per-tensor", "joint", "fastbert"):
        assert offline[label].options_for("mrpc", "") == glue[label].options
    for label in ("pabee", "ml", "gaml", "gaml-per-tensor", "joint"):
        assert offline[label].seeds == (42, 43)
    assert offline["finetune"].options_for("cola", "") == glue["finetune"].options
    assert offline["gaml-alpha-0.3"].options == glue["gaml"].options


def test_the_gaml_suite_is_the_papers_table_7():
    suite = load_suite("gaml")
    assert suite.protocol == "blind" and len(suite.seeds) == 5
    choices = {choice.label: choice for choice in suite.choices}
    table = {
        task.name: (options.lr, options.warmup_epochs, options.batch_size, options.alpha)
        for task in suite.tasks
        for options in [choices["gaml"].options_for(task.name, "bert-base-uncased")]
    }
    assert table == {
        "cola": (5e-5, 1.2, 32, 0.3), "mnli": (2e-5, 0.8, 256, 0.2), "mrpc": (2e-5, 1.0, 16, 0.2),
        "qnli": (1e-5, 1.0, 128, 0.5), "qqp": (1e-5, 0.8, 256, 0.3), "rte": (5e-5, 1.2, 16, 0.2),
        "sst2": (5e-5, 0.8, 128, 0.3),
    }  # fmt: skip
    everywhere = [choice.options_for(task.name, "") for choice in suite.choices for task in suite.tasks]
    assert {(o.holdout, o.patience, o.select, o.epochs) for o in everywhere} == {(0.1, 5, "best", 15)}
    assert (choices["gaml-hard"].options.ga, choices["gaml"].options.ga) == ("hard", "soft")
    assert choices["fastbert"].default_rule == "patience"


@pytest.mark.parametrize(
    ("name", "backbone", "tasks"),
    [
        ("csdbert", "bert-base-uncased", ["rte", "qnli", "qqp", "mnli"]),
        ("csdbert-elue", "fnlp/elasticbert-base",
         ["elue-mrpc", "elue-sst2", "elue-imdb", "elue-scitail", "elue-snli"]),
    ],
)  # fmt: skip
def test_the_csdbert_suites_give_the_papers_values_to_every_method(name, backbone, tasks):
    suite = load_suite(name)
    assert (suite.backbones, [task.name for task in suite.tasks]) == ([backbone], tasks)
    assert suite.protocol == "blind" and len(suite.seeds) == 5
    everywhere = [choice.options_for(task, backbone) for choice in suite.choices for task in tasks]
    assert {(o.lr, o.batch_size, o.epochs, o.warmup_share, o.warmup_epochs) for o in everywhere} == {
        (2e-5, 32, 5, 0.06, None)
    }
    assert {(o.weight_decay, o.select, o.holdout, o.patience) for o in everywhere} == {
        (0.0, "best", 0.1, None)
    }
    # Each method's own rule is swept, and shows in its tables.
    swept = {rule.name for family in suite.rules for rule in rule_family(family)}
    assert {choice.default_rule.partition(";")[0] for choice in suite.choices} <= swept


def test_the_csdbert_suites_have_the_papers_ablations_and_numbers_of_teachers():
    glue, elue = (
        {choice.label: choice.options for choice in load_suite(name).choices}
        for name in ("csdbert", "csdbert-elue")
    )
    for suite in (glue, elue):
        weights = [(suite[label].alpha, suite[label].beta) for label in suite if "without-" in label][:2]
        assert weights == [(0.0, 1.0), (0.01, 0.0)]
    teachers = sorted(options.n_teachers for label, options in elue.items() if label.startswith("csdbert-n"))
    assert teachers == [3, 4, 5, 7, 8] and elue["csdbert"].n_teachers == 6


def test_tinybert_in_the_costeff_suite_has_its_own_epochs_and_the_teacher_of_all():
    suite = load_suite("costeff")
    choices = {choice.label: choice for choice in suite.choices}
    for label in ("tinybert4", "tinybert6"):
        for task, first, teacher in (
            ("sst2", 10, 5),
            ("mrpc", 20, 12),
            ("qnli", 10, 5),
            ("mnli", 5, 3),
        ):
            options = choices[label].options_for(task, "bert-base-uncased")
            assert (options.intermediate_epochs, options.epochs, options.teacher_epochs) == (
                first,
                3,
                teacher,
            )
            assert choices["finetune"].options_for(task, "bert-base-uncased").epochs == teacher


def test_the_gaml_suite_has_the_static_students_of_table_2():
    table = reference_table("gaml-table2")
    printed = set(table["method"][(table["split"] == "dev") & (table["item"] == "")])
    labels = {choice.label for choice in load_suite("gaml").choices}
    assert printed - labels == set()


def test_the_costeff_suite_has_the_released_epochs_and_shares_its_assistant():
    suite = load_suite("costeff")
    assert [task.name for task in suite.tasks] == ["sst2", "mrpc", "qnli", "mnli", "mnli_mm"]
    choices = {choice.label: choice for choice in suite.choices}
    found = {
        label: [choices[label].options_for(task.trained_as, "bert-base-uncased") for task in suite.tasks]
        for label in ("cost-eff-8x", "cost-eff-2x")
    }
    epochs = {
        label: [(o.epochs, o.pruning, o.recovery_feature_epochs, o.recovery_epochs) for o in options]
        for label, options in found.items()
    }
    assert epochs == {
        "cost-eff-8x": [(5, 5, 10, 6), (12, 20, 20, 10), (5, 5, 8, 5), (3, 3, 5, 3), (3, 3, 5, 3)],
        "cost-eff-2x": [(5, 3, 8, 3), (12, 12, 12, 5), (5, 3, 6, 3), (3, 2, 3, 2), (3, 2, 3, 2)],
    }
    assert [o.representation_share for o in found["cost-eff-8x"]] == [0.7, 0.5, 0.7, 0.7, 0.7]
    needs = [choice.method.needs(choice.options_for("mrpc", "bert-base-uncased")) for choice in suite.choices]
    assistants = [needed["assistant"].options for needed in needs if "assistant" in needed]
    distinct = {tuple(sorted(map(str, options.items()))) for options in assistants}
    assert (len(assistants), len(distinct)) == (8, 4)


def test_a_suite_chooses_the_headline_of_a_task(tmp_path):
    path = tmp_path / "s.yaml"
    text = "backbones: [toy]\ntasks: [mrpc, rte]\nmethods: [joint]\n"
    path.write_text(text + "metrics: {mrpc: acc_f1}\n", encoding="utf-8")
    tasks = load_suite(str(path)).tasks
    assert [task.metrics for task in tasks] == [("acc_f1", "f1", "accuracy"), ("accuracy",)]
    path.write_text(text + "metrics: {mrpc: matthews, rtee: f1}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_suite(str(path))
    assert "task 'mrpc' has no metric 'matthews'; it has f1, accuracy, acc_f1." in str(error.value)
    assert "unknown task 'rtee'" in str(error.value) and "did you mean 'rte'?" in str(error.value)


def test_a_second_dev_set_has_no_options_of_its_own(tmp_path):
    path = tmp_path / "s.yaml"
    text = (
        "backbones: [toy]\ntasks: [mnli, mnli_mm]\nmethods: [joint]\ntask_defaults: {mnli_mm: {epochs: 2}}\n"
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="task_defaults: mnli_mm shows the runs of mnli on another dev set"):
        load_suite(str(path))


def test_a_method_is_shown_under_a_rule_with_knobs(tmp_path):
    path = tmp_path / "s.yaml"
    text = "backbones: [toy]\ntasks: [rte]\nrules: {cka: default}\nmethods:\n  - csdbert\n"
    path.write_text(text + "  - {name: elasticbert, rule: 'cka;theta=0.10'}\n", encoding="utf-8")
    assert [choice.default_rule for choice in load_suite(str(path)).choices] == [
        "cka;theta=0.06",
        "cka;theta=0.1",
    ]
    path.write_text(text + "  - {name: elasticbert, rule: 'cka;tau=1'}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="rule 'cka' has no knob 'tau'"):
        load_suite(str(path))


def whole_training(method, options):
    """Epochs over all stages, those of the needed run with them, and which epoch each stage keeps."""
    stages = method.stages(options)
    epochs, kept = sum(stage.epochs for stage in stages), [stage.select or options.select for stage in stages]
    for need in method.needs(options).values():
        needed = find_method(need.method)
        more, rest = whole_training(needed, resolve_options(needed, need.options, need.method))
        epochs, kept = epochs + more, [*rest, *kept]
    return epochs, kept


def test_methods_of_smartberts_suite_are_trained_for_as_long_and_chosen_alike():
    for choice in load_suite("smartbert").choices:
        epochs, kept = whole_training(choice.method, choice.options)
        assert (epochs, set(kept)) == (9, {"best"}), choice.label
