"""Every component and table in every state, wide and narrow, light and dark, in a real browser.

With a folder there are pictures to look at: `pytest tests/browser/test_gallery.py --basetemp=FOLDER`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import serving
from views.gallery.parts import PARTS

LOOKS: dict[int, Literal["light", "dark"]] = {1440: "light", 390: "dark"}
DRAWN = ", ".join(
    (
        ".strip", ".panel", ".heat canvas", ".list", ".board", ".js-plotly-plot", "table:not([hidden])",
        "[data-testid=stProgress]",
        "[data-testid=stAlert]", "p",
    )
)  # fmt: skip


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("gallery_home"), "views.gallery") as address:
        yield address


@pytest.mark.parametrize("part", PARTS)
def test_every_state_is_drawn(
    page: Page, gallery: str, tmp_path: Path, request: pytest.FixtureRequest, part: str
) -> None:
    """Wide and light as it is opened, then narrow and dark: opened anew for each it would take twice as long."""
    page.goto(f"{gallery}/?part={part}")
    expect(states(page)).to_have_count(sum(map(len, PARTS[part].values())), timeout=60_000)
    for width, scheme in LOOKS.items():
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 1000})
        all_are_drawn(page, width)
        if not request.config.getoption("basetemp"):
            continue  # nobody looks: pictures of this height take as long as all the rest
        tall = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": width, "height": min(tall + 80, 12_000)})
        page.wait_for_timeout(700)
        page.screenshot(path=tmp_path / f"{part}-{width}-{scheme}.png")


def states(page: Page) -> Locator:
    return page.locator("[class*='st-key-state_']:has(> [data-testid=stElementContainer])")


def all_are_drawn(page: Page, width: int) -> None:
    for state in states(page).all():
        state.scroll_into_view_if_needed()
        box = state.locator(DRAWN).last
        expect(box).to_be_visible()
        size = box.bounding_box()
        assert size is not None and size["height"] > 10 and size["width"] > 50, state.get_attribute("class")
    expect(page.get_by_test_id("stException")).to_have_count(0)
    scroll_width = "document.querySelector('[data-testid=stMain]').scrollWidth"
    page.wait_for_function(f"{scroll_width} <= {width}")  # a moment after the window has become narrow
