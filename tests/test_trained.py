import json
import shutil

import pytest

from eebench.about import FILE
from eebench.artifacts import read_json, write_json
from eebench.errors import ConfigError, RunError, UserError
from eebench.trained import find_run, open_run


@pytest.fixture
def run(executor, toy_job):
    """A trained run with a trace of dev."""
    job = toy_job("joint")
    executor.ensure_trace(job)
    return executor.run(job)


def test_a_run_is_found_by_a_piece_of_its_name(run, tmp_path):
    name, root = run.directory.name, run.directory.parent
    key = run.spec.key
    for text in (str(run.directory), name, "joint-toy", key, key[:6], key[-6:]):
        assert find_run(text, root) == run.directory
    shutil.copytree(run.directory, root / name.replace(key, "0123456789abcdef"))
    with pytest.raises(UserError, match=r"'joint' is 2 runs in .*: joint-toy-s1-0123456789abcdef, joint-toy"):
        find_run("joint", root)
    with pytest.raises(UserError, match=r"no run 'jont-toy-s1' in .*eebench status --runs .* shows all 2"):
        find_run("jont-toy-s1", root)
    with pytest.raises(UserError, match="no run '' in"):
        find_run("", root)
    with pytest.raises(UserError, match="there is no run in .*; train one, or name the folder with --runs"):
        find_run("joint", tmp_path / "elsewhere")


def test_it_opens_with_names_and_the_trained_weights(run, executor, toy_job):
    found = open_run(run.directory)
    assert (found.job.method.name, found.job.backbone, found.job.seed) == ("joint", "toy", 1)
    assert found.job.task.labels == ("negative", "positive") and found.job.options == toy_job("joint").options
    theirs, ours = dict(executor.model(toy_job("joint")).named_parameters()), found.model().named_parameters()
    assert all(theirs[name].equal(weight) for name, weight in ours)
    assert found.dev_trace().samples == 48


def test_a_run_that_says_nothing_of_itself_is_found_out_about(run):
    (run.directory / FILE).unlink()
    found = open_run(run.directory)
    assert (found.job.backbone, found.job.method.recipe) == ("toy", "joint")
    assert found.job.task.labels == ("0", "1") and found.job.task.text_columns == ()
    assert found.model().exit_layers == (1, 2)
    (run.directory / "trace-dev.json").unlink()
    with pytest.raises(UserError, match="does not say what its classes are; `eebench train joint --task toy"):
        open_run(run.directory)
    # the classes of a known task are known without
    write_json(run.directory / "run.json", {**read_json(run.directory / "run.json"), "task": "rte"})
    assert open_run(run.directory).job.task.labels == ("entailment", "not_entailment")


def changed(run, name, **values):
    write_json(run.directory / name, {**read_json(run.directory / name), **values})


def test_runs_that_cannot_be_used_say_what_to_type(run, tmp_path):
    with pytest.raises(UserError, match=r"is no run: it has no run\.json; `eebench status`"):
        open_run(tmp_path)
    run.done_path.rename(run.directory / "aside.json")
    with pytest.raises(
        UserError, match=r"is not finished; `eebench train joint --task toy --seed 1` with the opt"
    ):
        open_run(run.directory)
    run.fail("the loss is not finite")
    with pytest.raises(UserError, match=r"failed: the loss is not finite; `eebench train joint"):
        open_run(run.directory)
    (run.directory / "aside.json").rename(run.done_path)
    run.model_path.write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"model\.safetensors is damaged; `eebench train joint"):
        open_run(run.directory).model()
    changed(run, "run.json", recipe_version=7)
    with pytest.raises(UserError, match="trained by version 7 of 'joint', here is version 1"):
        open_run(run.directory)
    changed(run, "run.json", colour="red")
    with pytest.raises(UserError, match=r"run\.json is not what eebench writes"):
        open_run(run.directory)


def test_a_method_or_backbone_that_is_not_here(run):
    with pytest.raises(UserError, match="--backbone minilm|cannot|not what this run was trained on"):
        changed(run, "run.json", backbone="0" * 64)
        open_run(run.directory, backbone="toy")
    with pytest.raises(
        UserError, match="backbone is 'toy', which is not there now; name the one .*--backbone NAME"
    ):
        open_run(run.directory)
    (run.directory / FILE).unlink()
    with pytest.raises(UserError, match="backbone is none of the built-in ones"):
        open_run(run.directory)
    changed(run, "run.json", recipe="gone")
    with pytest.raises(UserError, match="method 'gone' of this run is not installed"):
        open_run(run.directory)


def test_only_inference_options_can_be_changed(executor, toy_job, run):
    with pytest.raises(UserError, match="--set lr: a trained run keeps its options; .*'joint' has none"):
        open_run(run.directory, inference={"lr": 1.0})
    gated = executor.ensure_trained(toy_job("smartbert", epochs=1, exit_epochs=1))
    assert open_run(gated.directory).model().gate_threshold == 0.5
    found = open_run(gated.directory, inference={"gate_threshold": 0.7})
    assert found.model().gate_threshold == 0.7 and found.job.variant == "gate_threshold=0.7"
    assert found.dev_trace() is None
    with pytest.raises(
        ConfigError, match=r"gate_threshold: Input should be less than or equal to 1 \(got 7\.0\)"
    ):
        open_run(gated.directory, inference={"gate_threshold": 7.0})
    about = json.loads((gated.directory / FILE).read_text())
    write_json(gated.directory / FILE, {**about, "options": {**about["options"], "colour": "red"}})
    with pytest.raises(ConfigError, match="unknown key 'colour'"):
        open_run(gated.directory)
