import json

import pytest

from eebench.about import FILE, About, note_about, read_about
from eebench.errors import DamagedError


def test_what_a_run_says_of_itself_comes_back(tmp_path, toy_job):
    job = toy_job("smartbert", gate_threshold=0.7)
    note_about(tmp_path, job)
    about = read_about(tmp_path)
    assert about == About.of(job)
    assert (about.method, about.backbone, about.task, about.metric) == ("smartbert", "toy", "toy", "accuracy")
    assert about.labels == ("negative", "positive") and about.text_columns == ("sentence",)
    assert about.max_length == 16 and about.options["gate_threshold"] == 0.7
    spec = about.task_spec
    assert (spec.name, spec.labels, spec.max_length, spec.metric) == ("toy", about.labels, 16, "accuracy")


def test_it_is_written_once_and_is_no_part_of_the_identity(executor, toy_job):
    run = executor.ensure_trained(toy_job("smartbert", gate_threshold=0.7))
    before = (run.directory / FILE).read_bytes()
    again = executor.ensure_trained(toy_job("smartbert", gate_threshold=0.4))
    assert again.directory == run.directory and (run.directory / FILE).read_bytes() == before


def test_a_run_of_before_gains_it_when_it_is_found_done(executor, toy_job):
    run = executor.ensure_trained(toy_job("joint"))
    (run.directory / FILE).unlink()
    assert read_about(run.directory) is None
    executor.ensure_trained(toy_job("joint"))
    assert read_about(run.directory).method == "joint"


@pytest.mark.parametrize("content", [{}, {"labels": [], "text_columns": [], "colour": "red"}])
def test_a_malformed_file_is_told(tmp_path, content):
    (tmp_path / FILE).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DamagedError, match=r"about\.json is not what eebench writes .*; remove it"):
        read_about(tmp_path)
