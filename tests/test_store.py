import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from eebench.errors import DamagedError, StorageError
from eebench.store import RunSpec, Store

SPEC = RunSpec("pabee", 1, {"lr": 1e-4, "epochs": 1}, "b" * 64, "rte", "d" * 64, 42, {})


def test_the_key_does_not_depend_on_the_order_of_options():
    assert SPEC.key == replace(SPEC, options={"epochs": 1, "lr": 1e-4}).key


@pytest.mark.parametrize(
    "change",
    [{"recipe": "joint"}, {"recipe_version": 2}, {"options": {"lr": 2e-4, "epochs": 1}}, {"backbone": "c" * 64},
     {"task": "mrpc"}, {"data": "e" * 64}, {"seed": 43}, {"needs": {"teacher": "k"}}],
)  # fmt: skip
def test_the_key_depends_on_everything_that_determines_the_result(change):
    assert SPEC.key != replace(SPEC, **change).key


def test_directory_names_hold_no_separators():
    assert "/" not in replace(SPEC, task="../my task").directory_name


def test_a_finished_run_comes_back(tmp_path):
    run = Store(tmp_path).run(SPEC)
    with run.lock():
        run.describe()
        assert not run.is_done()
        run.finish({"w": torch.arange(3)}, {"parameters": 3})
    again = Store(tmp_path).run(SPEC)
    assert (
        again.is_done() and again.record()["parameters"] == 3 and again.weights()["w"].tolist() == [0, 1, 2]
    )
    assert json.loads((run.directory / "run.json").read_text())["recipe"] == "pabee"


def test_damaged_weights_are_noticed(tmp_path):
    run = Store(tmp_path).run(SPEC)
    with run.lock():
        run.finish({"w": torch.arange(3)}, {})
    run.model_path.write_bytes(run.model_path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(DamagedError):
        run.weights()


def test_a_failure_is_recorded_and_never_counts_as_done(tmp_path):
    run = Store(tmp_path).run(SPEC)
    run.fail("the loss is not finite at step 3")
    assert not run.is_done() and run.failure() == "the loss is not finite at step 3"
    with run.lock():
        run.finish({"w": torch.ones(1)}, {})
    assert run.is_done() and run.failure() is None


def test_reset_forgets_everything(tmp_path):
    run = Store(tmp_path).run(SPEC)
    with run.lock():
        run.finish({"w": torch.ones(1)}, {})
        (run.directory / "below").mkdir()
        run.reset()
    assert [path.name for path in run.directory.iterdir()] == ["lock"]


def test_half_written_files_are_swept_up(tmp_path):
    run = Store(tmp_path).run(SPEC)
    with run.lock():
        (run.directory / ".tmp-1-model.safetensors").write_text("half")
    with run.lock():
        assert not list(run.directory.glob(".tmp-*"))


def test_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"), Store(tmp_path / "file").run(SPEC).lock():
        pass


HOLDER = """
import sys, time, pathlib, torch
from eebench.store import RunSpec, Store
root = pathlib.Path(sys.argv[1])
run = Store(root).run(RunSpec("pabee", 1, {"lr": 1e-4, "epochs": 1}, "b" * 64, "rte", "d" * 64, 42, {}))
with run.lock():
    print("held", flush=True)
    time.sleep(0.5)
    run.finish({"w": torch.ones(1)}, {})
"""


def test_a_second_process_waits_for_the_first(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        run = Store(tmp_path).run(SPEC)
        assert not run.is_done()
        with run.lock():
            assert run.is_done()
