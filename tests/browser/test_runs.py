"""The page Runs in a real browser: select, name, pin, delete, reopen in the Lab, compare two; a live row, a queue."""

import re
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from pruning.recipe.recipe import Recipe, from_json
from pruning.selection.amounts import Sparsity
from pruning.training.schedules import OneShot, Polynomial
from pruning.training.tuning import Tuning
from tests.browser.conftest import address_of
from tests.browser.test_lab import MEASURED, open_page, recipe_of

QUICK = Recipe("mlp_128", amount=Sparsity(0.6), schedule=OneShot(), tuning=Tuning(epochs=1, images_per_epoch=512))
OTHER = replace(QUICK, amount=Sparsity(0.95), seed=3)
LONG = replace(QUICK, schedule=Polynomial(rounds=40), tuning=Tuning(epochs=20))


def run(page: Page, app: str, recipe: Recipe, end: str | None = "finished in") -> str:
    """Start a run in the Lab and wait for its end; returns its id."""
    open_page(page, address_of(app, recipe))
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text(re.compile(end or "round 1 of"))).to_be_visible(timeout=120_000)
    return parse_qs(urlsplit(page.url).query)["run"][0]


def row(page: Page, run: str) -> Locator:
    return page.locator(f"tr[data-run='{run}']")


def open_runs(page: Page) -> None:
    page.get_by_role("link", name="Runs", exact=True).click()
    page.locator("tr[data-run]").first.wait_for()


@pytest.fixture(scope="module")
def two(browser: BrowserContext, app: str) -> tuple[str, str]:
    """Two finished runs that differ in amount and seed."""
    page = browser.new_page()
    runs = run(page, app, QUICK), run(page, app, OTHER)
    page.close()
    return runs


def open_run(page: Page, app: str, run: str) -> None:
    page.goto(f"{app}/runs?run={run}")
    expect(page.get_by_text(f"Result of run {run}")).to_be_visible()


def test_two_runs_are_compared_and_the_selection_outlives_f5_as_far_as_the_url_knows(
    page: Page, app: str, two: tuple[str, str]
) -> None:
    first, second = two
    open_run(page, app, second)
    row(page, first).get_by_role("checkbox").focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("2 runs compared")).to_be_visible()
    beside = page.locator("table.beside")
    expect(beside.get_by_role("row", name=re.compile("^amount.share"))).to_contain_text(
        re.compile("0.95.*0.6|0.6.*0.95")
    )
    expect(beside.get_by_role("row", name=re.compile("^seed"))).to_be_visible()
    expect(beside.get_by_role("row", name=re.compile("^workload"))).to_have_count(0)
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    page.reload()
    expect(row(page, second)).to_have_class(re.compile("selected"))
    expect(row(page, first)).not_to_have_class(re.compile("selected"))


def test_a_recipe_reopens_in_the_lab(page: Page, app: str, two: tuple[str, str]) -> None:
    first, second = two
    open_run(page, app, second)
    row(page, first).get_by_role("button").click()
    expect(page.get_by_text(f"Result of run {first}")).to_be_visible()
    page.get_by_role("button", name="Open in the Lab").click()
    expect(page.locator(".strip")).to_contain_text(MEASURED, timeout=60_000)
    assert from_json(recipe_of(page)) == QUICK
    expect(page.get_by_text(f"Result of run {first}")).to_be_visible()


def test_a_live_run_and_a_queued_one_move_on_without_losing_the_selection(page: Page, app: str) -> None:
    live = run(page, app, LONG, end=None)
    open_page(page, address_of(app, replace(LONG, seed=1)) + f"&run={live}")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text(re.compile("next in the queue"))).to_be_visible()
    queued = parse_qs(urlsplit(page.url).query)["run"][0]
    assert queued != live
    open_runs(page)
    expect(row(page, live)).to_contain_text("running")
    expect(row(page, queued)).to_contain_text("next in the queue")
    row(page, live).get_by_role("button").click()
    expect(page.get_by_text(f"Run {live}")).to_be_visible()
    before = row(page, live).locator(".state").inner_text()
    expect(row(page, live).locator(".state")).not_to_have_text(before.replace("\n", ""), timeout=60_000)
    expect(row(page, live)).to_have_class(re.compile("selected"))
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_disabled()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="End now").click()
    expect(row(page, live)).to_contain_text("stopped", timeout=60_000)
    row(page, queued).get_by_role("button").click()
    expect(page.get_by_text(f"Run {queued}")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(row(page, queued)).to_contain_text("stopped", timeout=60_000)


def test_a_narrow_screen_does_not_scroll_sideways(page: Page, app: str, two: tuple[str, str]) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_run(page, app, two[1])
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
    row(page, two[0]).get_by_role("checkbox").check()
    expect(page.get_by_text("2 runs compared")).to_be_visible()
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390


def test_a_run_is_named_pinned_found_and_deleted(page: Page, app: str, two: tuple[str, str]) -> None:
    """The last of this file: it deletes one of the two."""
    second, first = two
    open_page(page, f"{address_of(app, OTHER)}&run={first}")
    open_runs(page)
    expect(row(page, first)).to_have_class(re.compile("selected"))  # the one that the Lab showed
    row(page, second).get_by_role("button").click()
    expect(page.get_by_text(f"Result of run {second}")).to_be_visible()
    row(page, first).get_by_role("button").click()
    expect(page.get_by_text(f"Result of run {first}")).to_be_visible()
    assert first in page.url
    title = page.get_by_role("textbox", name="title")
    title.fill("sixty percent")
    title.press("Enter")
    expect(row(page, first).get_by_role("button", name="sixty percent")).to_be_visible()
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.locator("tr[data-run]").first).to_contain_text("sixty percent")
    search = page.get_by_role("textbox", name="search")
    search.fill("SIXTY")
    search.press("Enter")
    expect(row(page, second)).to_be_hidden()
    expect(row(page, first)).to_have_class(re.compile("selected"))
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("No run matches")).to_be_visible()
    assert "run=" not in page.url.replace("recipe=", "")
    search.fill("")
    search.press("Enter")
    expect(row(page, second)).to_be_visible()
    expect(row(page, first)).to_have_count(0)
