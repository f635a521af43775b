"""Every component and table in every state, wide and narrow, light and dark, in a real browser.

The pictures lie in the test's folder: `pytest tests/browser/test_gallery.py --basetemp=FOLDER`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import serving
from views.gallery import compare, lab, runs, sensitivity

PARTS = {"lab": lab.STATES, "runs": runs.STATES, "compare": compare.STATES, "sensitivity": sensitivity.STATES}
DRAWN = (
    ".strip, .panel, .heat canvas, .list, .js-plotly-plot, table, [data-testid=stProgress], [data-testid=stAlert], p"
)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("gallery_home"), "views.gallery") as address:
        yield address


# either width once and either scheme once: the four together would take twice as long
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
@pytest.mark.parametrize("part", PARTS)
def test_every_state_is_drawn(
    page: Page, gallery: str, tmp_path: Path, part: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 1000})
    page.goto(f"{gallery}/?part={part}")
    count = sum(map(len, PARTS[part].values()))
    states = page.locator("[class*='st-key-state_']:has(> [data-testid=stElementContainer])")
    expect(states).to_have_count(count, timeout=60_000)
    for state in states.all():
        state.scroll_into_view_if_needed()
        box = state.locator(DRAWN).last
        expect(box).to_be_visible()
        size = box.bounding_box()
        assert size is not None and size["height"] > 10 and size["width"] > 50, state.get_attribute("class")
    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width
    tall = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": width, "height": min(tall + 80, 12_000)})
    page.wait_for_timeout(700)
    page.screenshot(path=tmp_path / f"{part}-{width}-{scheme}.png")
