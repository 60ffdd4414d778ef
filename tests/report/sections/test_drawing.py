import math

from eebench.report.figures import Caption
from eebench.report.sections.drawing import Panel, curves_svg, panels_svg, shares_svg
from eebench.report.sections.ground import Spread

CAPTION = Caption("a $title$", "accuracy")


def test_curves_are_drawn_alike_each_time():
    curves = {"one": {0.1: Spread(0.5, 0.01, 2), 0.3: Spread(0.6, 0.02, 2)}, "none": {}}
    svg = curves_svg(curves, "alpha", CAPTION)
    assert svg == curves_svg(curves, "alpha", CAPTION)
    assert b">one<" in svg and b">none<" not in svg and b">alpha<" in svg and b"a $title$" in svg
    assert b"<dc:date>" not in svg


def test_no_curve_is_no_figure():
    assert curves_svg({"none": {}}, "alpha", CAPTION) == b""


def test_counted_numbers_have_whole_ticks():
    curve = {"one": {1.0: Spread(0.5), 2.0: Spread(0.6)}}
    assert b">1.5<" in curves_svg(curve, "layers", CAPTION) or b">1.2<" in curves_svg(
        curve, "layers", CAPTION
    )
    assert b">1.5<" not in curves_svg(curve, "layers", CAPTION, whole=True)


def test_open_bins_are_drawn():
    edges = (-math.inf, -1.0, 0.0, 1.0, math.inf)
    svg = shares_svg({"m": [0.1, 0.2, 0.3, 0.4]}, edges, "c", CAPTION, guide=0.0)
    assert svg == shares_svg({"m": [0.1, 0.2, 0.3, 0.4]}, edges, "c", CAPTION, guide=0.0)
    assert b">m<" in svg and b"nan" not in svg and b"inf" not in svg


def test_panels_have_one_axis_of_counted_numbers():
    panels = [
        Panel({"up": {1: 2.0, 2: 1.5}, "none": {}}, "speed-up"),
        Panel({"down": {1: 30.0, 2: 40.0}}, "score"),
    ]
    svg = panels_svg(panels, "R", "a $title$")
    assert svg == panels_svg(panels, "R", "a $title$")
    for text in (b">up<", b">down<", b">speed-up<", b">score<", b">R<", b"a $title$"):
        assert svg.count(text) == 1
    assert panels_svg([Panel({"none": {}}, "y")], "R", "t") == b""
