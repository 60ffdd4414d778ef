import json
from pathlib import Path

import pytest

from eebench.errors import DataError
from eebench.report import render_report, update_report
from eebench.report.sections.catalogue import RENDERERS
from eebench.sections import KINDS

EXPECTED = Path(__file__).parents[1] / "golden" / "sections.md"


def sections_of(folder):
    """The page from the first section a suite asks for to the one after the last."""
    render_report(folder)
    page = (folder / "README.md").read_text(encoding="utf-8")
    return page[page.index("## Pairs of exits") : page.index("## Score against cost")]


def test_every_kind_has_a_renderer():
    assert list(RENDERERS) == list(KINDS)


def test_the_sections_are_the_golden_ones_after_the_published_numbers(analyses):
    assert sections_of(analyses) == EXPECTED.read_text(encoding="utf-8")
    page = (analyses / "README.md").read_text(encoding="utf-8")
    assert page.index("## Published numbers") < page.index("## Pairs of exits")


def test_rendering_twice_gives_the_same_bytes(analyses, tmp_path, write):
    first = {path.name: path.read_bytes() for path in render_report(analyses)}
    assert {file.change for file in update_report(analyses)} == {"unchanged"}
    sections = json.loads((analyses / "provenance.json").read_text(encoding="utf-8"))["sections"]
    again = write(tmp_path / "elsewhere" / "analyses", sections)
    assert {path.name: path.read_bytes() for path in render_report(again)} == first


def test_figures_of_a_section_that_is_gone_are_removed(analyses, write):
    render_report(analyses)
    names = {path.name for path in (analyses / "figures").glob("section-*.svg")}
    assert names == {
        "section-2-comparison-cola-toy.svg", "section-3-histogram-cola-toy.svg",
        "section-4-histogram-cola-toy.svg", "section-5-sensitivity-cola-toy.svg",
        "section-8-overthinking-cola-toy.svg", "section-10-alignment-cola-toy.svg",
        "section-10-alignment-cola-toy-2.svg", "section-13-front-cola-toy.svg", "section-14-layers-cola-toy.svg",
    }  # fmt: skip
    write(analyses, [])
    removed = {file.path.name for file in update_report(analyses) if file.change == "removed"}
    assert removed == names
    assert "## Pairs" not in (analyses / "README.md").read_text(encoding="utf-8")


def test_nothing_worked(tmp_path, write):
    asked = [{"kind": "comparison", "control": "lost", "methods": ["gone"]}]
    folder = write(tmp_path / "none", asked)
    render_report(folder)
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert (
        "## Compared with lost\n\nNothing to show: the results have no number that this section is about.\n\n"
        "Without a result: lost on cola, gone.\n" in page
    )


def test_hostile_names_are_text(tmp_path, write):
    name = "<b>a|b</b> $x$ [l](u)"
    asked = [{"kind": "overthinking", "title": "# <i>", "methods": [name]},
             {"kind": "comparison", "control": name, "methods": ["pabee"]}]  # fmt: skip
    row = {"task": "co|<la>", "backbone": "../toy", "method": name, "exit": 3, "split": "dev", "metric": "a|c",
           "score_mean": 0.5, "score_std": None, "seeds": 1, "head": "own", "pooling": "cls"}  # fmt: skip
    run = {**row, "seed": 1, "status": "ok", "reason": "", "parameters": 1, "training_steps": 1,
           "configurations": 1, "exit_mean": 0.5, "model_bytes": 4}  # fmt: skip
    folder = write(tmp_path / "h", asked, exits=[row], runs=[run], points=[], histograms=[])
    paths = render_report(folder)
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert "<b>" not in page and "<i>" not in page and "<la>" not in page
    assert "&lt;b&gt;a\\|b&lt;/b&gt; \\$x\\$ \\[l\\](u)" in page and "**co\\|&lt;la&gt;**" in page
    names = [path.name for path in paths if path.name.startswith("section")]
    assert names == ["section-1-overthinking-co-la-toy.svg"]


def test_several_backbones_have_headings(analyses, tmp_path, write):
    row = {"task": "cola", "method": "first-1", "exit": 1, "split": "dev", "metric": "matthews", "score_mean": 0.5,
           "score_std": None, "seeds": 1, "head": "own", "pooling": "cls", "seed": 1, "status": "ok", "reason": "",
           "parameters": 1, "training_steps": 1, "configurations": 1, "exit_mean": 0.5, "model_bytes": 4}  # fmt: skip
    rows = [{**row, "backbone": name} for name in ("a/b", "a b")]
    folder = write(tmp_path / "two", [{"kind": "overthinking", "methods": ["first-1"]}], exits=rows, runs=rows,
                   points=[], histograms=[])  # fmt: skip
    names = [path.name for path in render_report(folder) if path.name.startswith("section")]
    assert names == ["section-1-overthinking-cola-a-b.svg", "section-1-overthinking-cola-a-b-2.svg"]
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert page.index("### a/b") < page.index("### a b")


@pytest.mark.parametrize("asked", [[{"kind": "pair"}], [{"kind": "overthinking"}], [3], 3])
def test_what_is_no_section_says_how_to_write_it_again(tmp_path, write, asked):
    folder = write(tmp_path / "odd", asked)
    with pytest.raises(
        DataError, match=r"provenance.json: sections: .*`eebench sweep --suite odd` writes it"
    ):
        render_report(folder)
