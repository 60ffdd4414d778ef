"""`eebench report` as it is typed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from eebench.cli.report import report, results_folders
from eebench.errors import UserError
from eebench.report.layouts import LAYOUTS

TINY = Path(__file__).parents[1] / "report" / "golden" / "tiny"


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(report)
    return app


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two suites with results, and a folder without any."""
    for suite in ("tiny", "glue"):
        shutil.copytree(TINY, tmp_path / "results" / suite)
    (tmp_path / "results" / "notes").mkdir()
    return tmp_path / "results"


def test_one_suite(app: typer.Typer, results: Path):
    outcome = CliRunner().invoke(app, ["--suite", "tiny", "--results", str(results)])
    assert outcome.exit_code == 0, outcome.output
    lines = outcome.output.splitlines()
    assert lines[0] == f"written    {results / 'tiny' / 'README.md'}"
    assert len(lines) == 5
    assert (results / "tiny" / "figures" / "front-RTE-toy-bert.svg").is_file()
    assert not (results / "glue" / "README.md").exists()


def test_the_second_time_nothing_changes(app: typer.Typer, results: Path):
    CliRunner().invoke(app, ["--suite", "tiny", "--results", str(results)])
    outcome = CliRunner().invoke(app, ["--suite", "tiny", "--results", str(results)])
    assert {line.split()[0] for line in outcome.output.splitlines()} == {"unchanged"}


def test_every_suite(app: typer.Typer, results: Path):
    outcome = CliRunner().invoke(app, ["--results", str(results)])
    assert outcome.exit_code == 0, outcome.output
    assert (results / "tiny" / "README.md").is_file() and (results / "glue" / "README.md").is_file()
    assert not (results / "notes" / "README.md").exists()


def test_the_default_folder_is_results(app: typer.Typer, results: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(results.parent)
    outcome = CliRunner().invoke(app, ["--suite", "glue"])
    assert outcome.output.splitlines()[0] == f"written    {Path('results/glue/README.md')}"


class TestResultsFolders:
    def test_a_suite_without_results(self, results: Path):
        with pytest.raises(UserError) as caught:
            results_folders(results, "quickstart")
        assert str(caught.value) == (
            f"no results of suite 'quickstart' in {results}; {results} has glue, tiny; "
            "`eebench sweep --suite quickstart` makes them."
        )

    def test_a_slip_of_the_pen(self, results: Path):
        with pytest.raises(UserError, match="did you mean 'tiny'"):
            results_folders(results, "tinny")

    def test_no_results_at_all(self, tmp_path: Path):
        with pytest.raises(
            UserError, match=r"no results in .*; `eebench sweep --suite quickstart` makes some"
        ):
            results_folders(tmp_path / "nowhere", None)

    def test_a_path_is_not_a_suite(self, results: Path):
        with pytest.raises(UserError, match="no results of suite"):
            results_folders(results / "notes", "../tiny")

    def test_a_folder_without_points_is_no_suite(self, results: Path):
        with pytest.raises(UserError, match="no results of suite 'notes'"):
            results_folders(results, "notes")


def test_a_layout_replaces_the_sections(app: typer.Typer, results: Path):
    outcome = CliRunner().invoke(app, ["--suite", "tiny", "--results", str(results), "--layout", "gaml"])
    assert outcome.exit_code == 0, outcome.output
    page = (results / "tiny" / "README.md").read_text(encoding="utf-8")
    assert "`eebench report --suite tiny --layout gaml`" in page and "## Fig. 4: score by layer" in page
    CliRunner().invoke(app, ["--suite", "tiny", "--results", str(results)])
    again = (results / "tiny" / "README.md").read_text(encoding="utf-8")
    assert "--layout" not in again and "## Fig. 4" not in again


def test_an_unknown_layout_writes_nothing(app: typer.Typer, results: Path):
    outcome = CliRunner().invoke(app, ["--suite", "tiny", "--results", str(results), "--layout", "gamel"])
    assert isinstance(outcome.exception, UserError) and "did you mean 'gaml'?" in str(outcome.exception)
    assert not (results / "tiny" / "README.md").exists()


def test_the_help_names_every_layout(app: typer.Typer):
    words = " ".join(CliRunner().invoke(app, ["--help"]).output.replace("│", " ").split())
    assert ", ".join(LAYOUTS) in words
