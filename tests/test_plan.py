from dataclasses import replace

import pytest
from rich.console import Console

from eebench.choices import MethodChoice, Tuned
from eebench.cli.progress import PlanProgress
from eebench.engine.local import run_plan
from eebench.errors import ConfigError, DataError, UserError
from eebench.methods.catalogue import find_method
from eebench.options import resolve_options
from eebench.plan import Plan, Planner, allowed, check_only, in_order, parse_only
from eebench.suites import load_suite
from eebench.tasks.specs import CATALOGUE, task_spec
from eebench.tasks.splits import TaskData
from eebench.toy import toy_data, toy_task


@pytest.fixture
def suite(toy_suite):
    return load_suite(str(toy_suite))


def choice(name, **options):
    method = find_method(name)
    return MethodChoice(label=name, method=method, options=resolve_options(method, options, "test"))


def test_a_plan_has_every_cell_and_every_run_once(suite):
    plan = Planner(None, "fp32").plan(suite)
    assert [(cell.label, cell.seed) for cell in plan.cells][:3] == [
        ("finetune", 1),
        ("finetune", 2),
        ("first-1", 1),
    ]
    assert len(plan.cells) == 10
    # pabee and shallow-deep are one run; deebert brings a fine-tuned one of its own recipe
    assert [(job.method.name, job.seed) for job in plan.jobs] == [
        ("finetune", 1), ("finetune", 2), ("first-k", 1), ("first-k", 2), ("pabee", 1), ("pabee", 2),
        ("finetune", 1), ("deebert", 1), ("finetune", 2), ("deebert", 2),
    ]  # fmt: skip
    by_label = {(cell.label, cell.seed): cell.job for cell in plan.cells}
    assert by_label["pabee", 1].spec.key == by_label["shallow-deep", 1].spec.key
    assert plan.cells[0].title == plan.jobs[0].title == "finetune on moods, toy, seed 1"


def test_needs_share_task_backbone_seed_and_options(toy_job):
    job = toy_job("deebert", lr=7e-4)
    needed = job.needs["finetuned"]
    assert (needed.task, needed.backbone, needed.seed) == (job.task, job.backbone, job.seed)
    assert (needed.options.lr, needed.options.max_length) == (7e-4, 16)
    assert job.spec.needs == {"finetuned": needed.spec.key}
    assert [found.method.name for found in in_order([job, needed, job])] == ["finetune", "deebert"]


def test_the_key_follows_from_what_determines_the_result(toy_job):
    key = toy_job("pabee").spec.key
    assert toy_job("pabee").spec.key == key
    assert (
        len(
            {
                key,
                *(
                    toy_job("pabee", **change).spec.key
                    for change in ({"seed": 2}, {"lr": 1e-3}, {"epochs": 1})
                ),
            }
        )
        == 4
    )
    assert toy_job("pabee", max_length=16).spec.key == key  # the task's own length, said aloud
    assert toy_job("pabee", precision="bf16").spec.key != key


def test_auto_precision_is_settled_by_the_device():
    for precision in ("fp32", "bf16"):
        planner = Planner(None, precision)
        planner.remember(toy_data())
        cell = planner.cell(choice("deebert"), "toy", toy_task(), 1)
        assert cell.job.options.precision == cell.job.needs["finetuned"].options.precision == precision
    cell = planner.cell(choice("joint", precision="fp32"), "toy", toy_task(), 1)
    assert cell.job.options.precision == "fp32"


def test_another_headline_is_another_run_only_where_it_chooses():
    planner = Planner(None, "fp32")
    task = replace(toy_task(), metrics=("accuracy", "f1"))
    planner.remember(toy_data())
    keys = {
        (metric, select): planner.cell(
            choice("pabee", select=select), "toy", task.headlined(metric), 1
        ).job.spec
        for metric in ("accuracy", "f1")
        for select in ("last", "best")
    }
    assert keys["accuracy", "last"].key == keys["f1", "last"].key
    assert keys["accuracy", "best"].key != keys["f1", "best"].key
    assert keys["f1", "best"].identity()["metric"] == "f1"
    assert "metric" not in keys["accuracy", "best"].identity()


def test_two_dev_sets_share_their_runs(monkeypatch, executor):
    """`second` is scored on other rows than `first`, by the same trained model."""
    first = replace(toy_task("first"), max_length=16)
    second = replace(first, name="second", dev_of="first")
    monkeypatch.setitem(CATALOGUE, "first", first)
    planner = Planner(None, "fp32")
    data, other = toy_data(), toy_data(seed=3)
    planner.remember(replace(data, spec=first))
    planner.remember(TaskData(second, {"dev": other.splits["dev"]}, "unused"))
    options = {"epochs": 1, "lr": 5e-3, "batch_size": 16}
    cells = tuple(planner.cell(choice("pabee", **options), "toy", task, 1) for task in (first, second))
    assert cells[0].job.spec == cells[1].job.spec and cells[1].job.spec.task == "first"
    plan = Plan(cells, in_order(cell.job for cell in cells))
    assert len(plan.jobs) == 1
    shown, elsewhere = run_plan(plan, executor, PlanProgress(Console(quiet=True)))
    assert shown.trace.labels.tolist() == data.splits["dev"].labels.tolist()
    assert elsewhere.trace.lengths.tolist() != shown.trace.lengths.tolist()
    assert len(list(executor.store.root.iterdir())) == 1


def test_missing_data_leave_a_cell_with_the_reason(tmp_path):
    planner = Planner(tmp_path, "fp32")
    cell = planner.cell(choice("joint"), "toy", task_spec("rte"), 1)
    assert cell.job is None and cell.problem.startswith(f"no files of rte in {tmp_path}")
    with pytest.raises(DataError) as first:
        planner.data(task_spec("rte"))
    with pytest.raises(DataError) as second:
        planner.data(task_spec("rte"))
    assert first.value is second.value  # looked for once


def test_what_cannot_be_is_refused_with_all_reasons(suite, tmp_path):
    wanted = suite.model_copy(
        update={"choices": [choice("first-k", k=3), choice("gaml"), choice("joint")],
                "tasks": [*suite.tasks, task_spec("stsb")]}
    )  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        Planner(tmp_path, "fp32").plan(wanted)
    assert caught.value.problems == [
        "k=3 layers asked of 'toy', which has 2; choose 1..2.",
        "method 'gaml' is not defined for regression (stsb); use joint.",
    ]


def test_only_cuts_the_plan(suite):
    planner = Planner(None, "fp32")
    cells = planner.plan(suite, parse_only("method=first-k,method=pabee,seed=2")).cells
    assert [(cell.label, cell.seed) for cell in cells] == [("first-1", 2), ("pabee", 2)]
    assert len(planner.plan(suite, parse_only("task=moods,backbone=toy")).cells) == 10
    two = suite.model_copy(update={"choices": [choice("joint")], "seeds": [1, 2]})
    assert not allowed(parse_only("seed=3"), two.choices[0], "toy", two.tasks[0], 1)


def test_a_method_with_seeds_of_its_own(suite):
    more = choice("joint").model_copy(update={"seeds": (2, 3)})
    wanted = suite.model_copy(update={"choices": [choice("pabee"), more]})
    assert wanted.all_seeds == [1, 2, 3]
    planner = Planner(None, "fp32")
    cells = [(cell.label, cell.seed) for cell in planner.plan(wanted).cells]
    assert cells == [("pabee", 1), ("pabee", 2), ("joint", 2), ("joint", 3)]
    cells = [(cell.label, cell.seed) for cell in planner.plan(wanted, parse_only("seed=3,seed=1")).cells]
    assert cells == [("pabee", 1), ("joint", 3)]
    with pytest.raises(ConfigError, match="--only seed=4: not in suite 'moods'; it has 1, 2, 3"):
        check_only(parse_only("seed=4"), wanted)


def test_a_method_of_single_tasks_has_no_cells_on_others(suite):
    elsewhere = choice("joint").model_copy(update={"tasks": frozenset({"rte"})})
    here = choice("pabee").model_copy(update={"tasks": frozenset({"moods"})})
    plan = Planner(None, "fp32").plan(suite.model_copy(update={"choices": [elsewhere, here]}))
    assert {cell.label for cell in plan.cells} == {"pabee"}


def test_a_method_of_single_backbones_has_no_cells_on_others(suite):
    elsewhere = choice("joint").model_copy(update={"backbones": frozenset({"minilm-l6"})})
    here = choice("pabee").model_copy(update={"backbones": frozenset({"toy"})})
    wanted = suite.model_copy(update={"choices": [elsewhere, here], "backbones": ["toy", "minilm-l6"]})
    plan = Planner(None, "fp32").plan(wanted, parse_only("seed=1"))
    assert [(cell.label, cell.backbone) for cell in plan.cells] == [("pabee", "toy"), ("joint", "minilm-l6")]


def test_only_as_text():
    assert parse_only("") == {}
    assert parse_only("method=gaml,task=rte,task=mrpc") == {"method": {"gaml"}, "task": {"rte", "mrpc"}}
    for text in ("gaml", "methods=gaml", "method=gaml,rte"):
        with pytest.raises(
            UserError, match=r"--only .*: write it as key=value with key one of method, task, backbone"
        ):
            parse_only(text)
    with pytest.raises(UserError, match="--only ,: write it as key=value"):
        parse_only(",")


def test_values_the_suite_does_not_have_are_named(suite):
    check_only(parse_only("method=first-1,method=first-k"), suite)
    with pytest.raises(ConfigError) as caught:
        check_only(parse_only("method=pabbe,method=pabee,task=rte,seed=3"), suite)
    assert caught.value.problems == [
        "--only method=pabbe: not in suite 'moods'; did you mean 'pabee'?  it has finetune, first-1, first-k, "
        "pabee, shallow-deep, deebert.",
        "--only task=rte: not in suite 'moods'; it has moods.",
        "--only seed=3: not in suite 'moods'; it has 1, 2.",
    ]


def test_a_combination_that_is_empty(suite):
    one = suite.model_copy(update={"choices": [choice("joint")]})
    assert Planner(None, "fp32").plan(one, {"method": {"joint"}, "seed": {"1"}}).cells
    with pytest.raises(UserError, match="--only leaves nothing to run; `eebench status --suite moods`"):
        Planner(None, "fp32").plan(one.model_copy(update={"seeds": []}), {"method": {"joint"}})


def test_more_tokens_than_the_backbone_has_positions_for(toy_job):
    with pytest.raises(UserError, match=r"max_length=65 is more than 'toy' can read; choose 3\.\.64"):
        toy_job("pabee", max_length=65)


def test_a_task_is_planned_with_its_own_options(suite):
    found = choice("joint", lr=1e-3)
    own = found.model_copy(update={"by_task": {"moods": choice("joint", lr=2e-3).options}})
    planner = Planner(None, "fp32")
    cells = [planner.cell(one, "toy", suite.tasks[0], 1) for one in (found, own, choice("joint", lr=2e-3))]
    assert [cell.job.options.lr for cell in cells] == [1e-3, 2e-3, 2e-3]
    assert cells[1].job.spec.key == cells[2].job.spec.key


def test_a_search_in_vain_leaves_its_cells_with_the_reason(suite):
    found = choice("joint").model_copy(update={"tuned": {("moods", "toy"): Tuned(problem="all failed")}})
    cell = Planner(None, "fp32").cell(found, "toy", suite.tasks[0], 1)
    assert (cell.job, cell.problem) == (None, "all failed")


def test_a_backbone_that_is_not_there_is_one_problem_and_asked_for_once(suite):
    planner = Planner(None, "fp32")
    with pytest.raises(ConfigError) as caught:
        planner.plan(suite.model_copy(update={"backbones": ["toy", "somebody/nothing"]}))
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("cannot get backbone 'somebody/nothing' from the hub (")
    with pytest.raises(UserError) as first:
        planner.depth("somebody/nothing")
    with pytest.raises(UserError) as second:
        planner.depth("somebody/nothing")
    assert first.value is second.value and planner.depth("toy") == 2


def test_runs_that_differ_in_what_inference_reads_are_all_kept():
    """One trained model with two gate thresholds has two traces, so neither may drop out of the order of jobs."""
    planner = Planner(None, "fp32")
    planner.remember(toy_data())
    jobs = [
        planner.cell(choice("smartbert", gate_threshold=threshold), "toy", toy_task(), 1).job
        for threshold in (0.5, 0.6, 0.5)
    ]
    assert jobs[0].spec.key == jobs[1].spec.key and jobs[0].key != jobs[1].key
    kept = in_order(jobs)
    assert [job.variant for job in kept] == [jobs[0].variant, jobs[1].variant]
