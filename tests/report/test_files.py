import pytest

from eebench.report.files import FigureFile, free_path, slug


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("google/electra base", "google-electra-base"),
        ("../../etc/passwd", "etc-passwd"),
        ("SST-2", "SST-2"),
        ("<>", "unnamed"),
        ("é" * 3 + "x" * 100, "x" * 60),
    ],
)
def test_slug(text: str, name: str):
    assert slug(text) == name


def test_a_path_that_is_taken_gets_a_number():
    assert free_path(("front", "a/b", "x"), []) == "figures/front-a-b-x.svg"
    taken = ["figures/Front-A-B-x.svg", "figures/front-a-b-x-2.svg"]
    assert free_path(("front", "a b", "x"), taken) == "figures/front-a-b-x-3.svg"


def test_a_figure_on_the_page_is_escaped():
    assert FigureFile("figures/a.svg", "a|b <i>", b"").image == "![a\\|b &lt;i&gt;](figures/a.svg)"
