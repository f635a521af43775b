"""The search in a real browser: it is asked, a moved limit is answered, then measured, and a point reaches the Lab."""

import re

from playwright.sync_api import Page, expect

from pruning.granularities import Channels
from pruning.recipe.recipe import Recipe, from_json
from pruning.repair import LeastSquares
from pruning.selection.amounts import PerLayer, Sparsity
from tests.browser.conftest import address_of
from tests.browser.test_lab import open_page, recipe_of

QUICK = Recipe("mlp_128", granularity=Channels(), amount=Sparsity(0.5), repair=LeastSquares())
DONE = re.compile(r"^done: \d+ cuts in ")


def test_a_search_is_done_its_limit_moved_and_its_point_loaded(page: Page, app: str) -> None:
    open_page(page, address_of(app, QUICK))
    page.get_by_role("link", name="Search", exact=True).click()
    expect(page.get_by_text("Nothing was searched for yet.")).to_be_visible()
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_text(DONE)).to_be_visible(timeout=120_000)
    expect(page.get_by_text(re.compile(r"of the MACs left, .* \(measured\)")).first).to_be_visible()
    left = page.get_by_role("slider", name=re.compile("at most so much is left"))
    for _ in range(10):
        left.press("ArrowRight")
    expect(page.get_by_text("No cut that is known keeps to the limits above")).to_be_visible()  # within a point
    page.get_by_role("slider", name=re.compile("at most so much is lost")).press("End")
    asked = page.get_by_text(re.compile(r"With the limits above: .* \(measured\)$"))
    expect(asked).to_be_visible(timeout=60_000)  # estimated at first, and then nobody has to ask
    expect(page.get_by_text("it is being measured")).to_have_count(0)
    page.get_by_role("button", name="Load into the Lab").click()
    expect(page.locator(".row[data-layer=fc1]")).to_be_visible(timeout=60_000)
    found = from_json(recipe_of(page))
    assert isinstance(found.amount, PerLayer) and found.repair == QUICK.repair


def test_a_search_stops_and_what_was_found_stays(page: Page, app: str) -> None:
    open_page(page, address_of(app, Recipe("fashion_cnn", granularity=Channels(), repair=LeastSquares())))
    page.get_by_role("link", name="Search", exact=True).click()
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_text(re.compile(r"each group alone: cut [2-9] of about"))).to_be_visible(timeout=120_000)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()
    stands = page.get_by_text(re.compile(r"each group alone: cut \d+ of about"))
    before = stands.inner_text()
    page.wait_for_timeout(1500)
    assert stands.inner_text() == before
