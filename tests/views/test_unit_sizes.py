"""Histograms of the units that a regulariser pushes to zero, as the page draws them."""

import re

from pruning.events import UnitSizes
from views.shared.unit_sizes import MOST, sizes_html


def sizes(step: int, *names: str) -> UnitSizes:
    return UnitSizes(0, step, 0.0, dict.fromkeys(names, (1,) + (0,) * 28 + (3,)))


def test_every_layer_is_drawn_once_under_its_name_as_text() -> None:
    html = sizes_html(sizes(0, "a", "<b>"), sizes(5, "a", "<b>"))
    assert html.count("data:image/svg+xml") == 2 and ">a</figcaption>" in html and ">&lt;b&gt;</figcaption>" in html
    assert "<b>" not in html and "alt='a: 1 of 4 units are near zero'" in html


def test_the_axis_has_its_numbers_where_they_are() -> None:
    html = sizes_html(sizes(0, "a"), sizes(5, "a"))
    assert re.findall(r"left:(\d+)%'>([^<]+)<", html) == [("0", "0"), ("40", "0.01"), ("80", "1")]


def test_of_many_layers_the_first_are_drawn() -> None:
    names = [f"layer{place}" for place in range(MOST + 5)]
    html = sizes_html(sizes(0, *names), sizes(5, *names))
    assert html.count("<figure>") == MOST and f">layer{MOST - 1}<" in html and f">layer{MOST}<" not in html
