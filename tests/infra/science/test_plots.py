from xml.etree import ElementTree

from infra.science.plots import draw
from infra.science.svg import Chart, Series, bars, lines
from tests.infra.science.samples import seed

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawn: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(drawn).iter(f"{SVG}text")]


def test_the_three_charts_are_drawn_from_seeds(tmp_path):
    paths = draw([seed(kept=0.2), seed(kept=0.3)], tmp_path / "docs")
    assert [path.name for path in paths] == ["science-accuracy.svg", "science-probe.svg", "science-mismatch.svg"]
    accuracy, probe, mismatch = (texts(path.read_text()) for path in paths)
    assert {"answer right", "all sums right", "100"} <= set(accuracy)
    assert {"chance", "cache kept", "computed again"} <= set(probe)
    assert {"early", "delimiters", "0.95"} <= set(mismatch)


def test_one_seed_is_enough_to_draw(tmp_path):
    assert len(draw([seed()], tmp_path)) == 3


def test_points_stand_where_their_values_say():
    chart = Chart("t", "x", "y", (0, 1))
    drawn = ElementTree.fromstring(lines(chart, [Series("a", [(0, 0), (5, 0.5), (10, 1)])], (0, 10)))
    points = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in drawn.iter(f"{SVG}circle")]
    assert points[1][0] * 2 == points[0][0] + points[2][0] and points[1][1] * 2 == points[0][1] + points[2][1]
    assert points[0][1] > points[2][1]


def test_a_bar_is_as_high_as_its_value_and_stays_inside():
    chart = Chart("t <1>", "x", "y", (0, 1))
    drawn = ElementTree.fromstring(bars(chart, {"half": (0.5, 0.1), "more than all": (1.5, 0.0)}))
    heights = [float(bar.attrib["height"]) for bar in drawn.iter(f"{SVG}rect")]
    assert heights[0] * 2 == heights[1]
