"""The page of a results folder, byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from eebench.errors import DataError
from eebench.report import render_report, update_report
from eebench.results import SCHEMAS, read_results, write_results

EXPECTED = Path(__file__).parent / "golden" / "README.md"
FILES = [
    "README.md",
    "figures/front-RTE-toy-bert.svg",
    "figures/front-CoLA-toy-bert.svg",
    "figures/layers-RTE-toy-bert.svg",
    "figures/layers-CoLA-toy-bert.svg",
]


def rewrite(folder: Path, provenance: dict[str, Any] | None = None, **tables: pd.DataFrame) -> None:
    """Replace some tables of a results folder, or its provenance."""
    results = read_results(folder)
    current = {name: getattr(results, name) for name in SCHEMAS}
    write_results(folder, current | tables, results.provenance if provenance is None else provenance)


def readme(folder: Path) -> str:
    render_report(folder)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_page_is_the_golden_one(tiny: Path):
    render_report(tiny)
    assert (tiny / "README.md").read_bytes() == EXPECTED.read_bytes()


def test_all_files_and_no_other(tiny: Path):
    before = set(tiny.rglob("*"))
    assert render_report(tiny) == [tiny / name for name in FILES]
    assert {path for path in set(tiny.rglob("*")) - before if path.is_file()} == {
        tiny / name for name in FILES
    }


def test_rendering_twice_gives_the_same_bytes_and_touches_nothing(tiny: Path):
    first = update_report(tiny)
    before = {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tiny.rglob("*") if path.is_file()
    }
    second = update_report(tiny)
    assert {file.change for file in first} == {"written"}
    assert [(file.path, file.change) for file in second] == [(tiny / name, "unchanged") for name in FILES]
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before


def test_reads_nothing_but_the_folder(tiny: Path, tmp_path: Path):
    render_report(tiny)
    elsewhere = tmp_path / "elsewhere" / "tiny"
    shutil.copytree(tiny, elsewhere, ignore=shutil.ignore_patterns("README.md", "figures"))
    render_report(elsewhere)
    for name in FILES:
        assert (elsewhere / name).read_bytes() == (tiny / name).read_bytes(), name


def test_figures_of_a_task_that_is_gone_are_removed_and_no_other_file(tiny: Path):
    render_report(tiny)
    (tiny / "figures" / "photo.svg").write_text("mine", encoding="utf-8")
    results = read_results(tiny)
    rewrite(
        tiny,
        points=results.points[results.points["task"] == "RTE"],
        exits=results.exits[results.exits["task"] == "RTE"],
    )
    removed = [file.path.name for file in update_report(tiny) if file.change == "removed"]
    assert removed == ["front-CoLA-toy-bert.svg", "layers-CoLA-toy-bert.svg"]
    left = {path.name for path in (tiny / "figures").iterdir()}
    assert left == {"front-RTE-toy-bert.svg", "layers-RTE-toy-bert.svg", "photo.svg"}


def test_two_names_with_one_file_name_get_two_files(tiny: Path):
    results = read_results(tiny)
    rename = {"RTE": "a/b", "CoLA": "A b"}
    rewrite(tiny, points=results.points.assign(task=results.points["task"].map(rename)))
    names = [path.name for path in render_report(tiny) if path.name.startswith("front")]
    assert names == ["front-a-b-toy-bert.svg", "front-A-b-toy-bert-2.svg"]


def test_a_hostile_suite_is_text(tiny: Path):
    rewrite(tiny, provenance={"suite": {"name": "`x` <i>", "description": "<script>|&"}})
    page = readme(tiny)
    assert page.startswith("# Results: \\`x\\` &lt;i&gt;\n\n&lt;script&gt;\\|&amp;\n")
    assert "<script>" not in page
    assert "`eebench report --suite 'x' <i>`" in page


def test_a_silent_provenance_is_filled_from_the_rows(tiny: Path):
    rewrite(tiny, provenance={})
    page = readme(tiny)
    assert page.startswith("# Results: tiny\n\nWritten by")
    lines = [line.replace(" ", "") for line in page.splitlines()]
    assert "|seeds|1,2|" in lines
    assert "|costconvention|full_2mac@128|" in lines
    assert not any(line.startswith("|protocol") for line in lines)


@pytest.mark.parametrize(("protocol", "words"), [("blind", "never reported"), ("mine", "| mine ")])
def test_protocol(tiny: Path, protocol: str, words: str):
    rewrite(tiny, provenance={"protocol": protocol})
    line = next(line for line in readme(tiny).splitlines() if line.startswith("| protocol"))
    assert words in line


def test_splits_backbones_and_conventions_have_tables_of_their_own(tiny: Path):
    points = read_results(tiny).points
    parts = [
        points,
        points.assign(split="test"),
        points.assign(backbone="other"),
        points.assign(convention="layers"),
    ]
    rewrite(tiny, points=pd.concat(parts, ignore_index=True))
    page = readme(tiny)
    for title in ("toy/bert, dev (full_2mac@128)", "toy/bert, test (full_2mac@128)", "other, dev (full_2mac@128)",
                  "toy/bert, dev (layers)"):  # fmt: skip
        assert page.count(f"### {title}\n") == 1
    assert (tiny / "figures" / "front-RTE-other.svg").is_file()


def test_a_suite_where_everything_worked_says_so(tiny: Path):
    rewrite(tiny, runs=read_results(tiny).runs.assign(status="ok"))
    assert "## Runs without a result\n\nNone: all 12 runs have one.\n" in readme(tiny)


def test_a_suite_where_nothing_worked_still_has_a_page(tiny: Path):
    results = read_results(tiny)
    empty = {name: getattr(results, name).iloc[:0] for name in SCHEMAS if name != "runs"}
    rewrite(tiny, runs=results.runs.assign(status="failed"), **empty)
    assert render_report(tiny) == [tiny / "README.md"]
    page = (tiny / "README.md").read_text(encoding="utf-8")
    assert "0 of 12 have a result" in page
    assert "## Score" not in page and "## Methods" not in page


def test_a_folder_without_results_says_what_to_type(tmp_path: Path):
    with pytest.raises(DataError, match="eebench sweep --suite quickstart"):
        render_report(tmp_path / "quickstart")
    assert not (tmp_path / "quickstart").exists()


def blind(folder: Path) -> None:
    """Give the results rows of a held-out slice on which every score is another and all costs are equal."""
    results = read_results(folder)
    points, exits = results.points, results.exits
    held = points.assign(split="holdout", score_mean=0.1234)
    rewrite(
        folder,
        provenance=results.provenance | {"protocol": "blind"},
        points=pd.concat([points, held], ignore_index=True),
        exits=pd.concat([exits, exits.assign(split="holdout")], ignore_index=True),
    )


def test_the_slice_that_chooses_is_not_shown(tiny: Path):
    before = readme(tiny)
    blind(tiny)
    page = readme(tiny)
    assert "holdout (" not in page and "12.3" not in page
    for section in ("## Score at twice the speed", "## Score by exit"):
        headings = [line for line in page.splitlines() if line.startswith("### ")]
        assert headings == [line for line in before.splitlines() if line.startswith("### ")], section
    assert page.count("- **Blind**: ") == 1 and "**Blind**" not in before


def test_its_rows_choose_the_operating_point(tiny: Path):
    blind(tiny)
    results = read_results(tiny)
    points = results.points
    # On the slice patience=1 alone is inside the window, on dev patience=2 was.
    moved = (points["split"] == "holdout") & (points["task"] == "RTE") & (points["method"] == "pabee")
    faster = points["speedup_flops"].where(~moved, points["speedup_flops"] * 0.7)
    rewrite(tiny, points=points.assign(speedup_flops=faster))
    rows = [line for line in readme(tiny).splitlines() if line.startswith("| RTE") and "| PABEE" in line]
    setting = rows[0].split("|")[3].strip()
    assert setting != "patience=2"
    dev = points[(points["split"] == "dev") & (points["task"] == "RTE") & (points["method"] == "pabee")]
    (row,) = [row for _, row in dev.iterrows() if row["setting"] == setting and row["rule"] == "patience"]
    assert f"{row['speedup_flops']:.2f}x" in rows[0] and f"{100 * row['score_mean']:.1f}" in rows[0]


def test_a_layout_stands_in_place_of_the_suites_own_sections(tiny: Path):
    own = {file.path.name for file in update_report(tiny)}
    page = (tiny / "README.md").read_text(encoding="utf-8")
    assert render_report(tiny, "gaml") and render_report(tiny, "gaml")
    other = (tiny / "README.md").read_text(encoding="utf-8")
    assert "--layout gaml`" in other and "## Table 4: training steps until early stopping" in other
    assert {file.path.name for file in update_report(tiny)} >= own
    assert (tiny / "README.md").read_text(encoding="utf-8") == page


def test_what_no_model_at_all_would_score_stands_under_the_table(tiny: Path):
    tasks = {"RTE": {"one_class": 0.5213}, "CoLA": {"one_class": "<i>"}}
    rewrite(tiny, provenance=read_results(tiny).provenance | {"tasks": tasks})
    assert "Answering every sample with the most frequent class of train scores: RTE 52.1.\n" in readme(tiny)


def test_results_that_do_not_say_their_precision_are_marked_as_earlier_ones(tiny: Path):
    assert "**Made by an earlier version**" in readme(tiny)
    runs = (tiny / "runs.csv").read_text(encoding="utf-8").splitlines()
    said = [f"{runs[0]},precision", *(f"{line},fp32" for line in runs[1:])]
    (tiny / "runs.csv").write_text("\n".join(said) + "\n", encoding="utf-8")
    page = readme(tiny)
    assert "Made by an earlier version" not in page and "| precision of training | fp32" in page
