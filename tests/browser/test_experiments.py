"""Experiments in a real browser: a grid is made with the keyboard and the mouse, carried out, and taken home."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from pruning.recipe.recipe import Recipe, from_json
from pruning.selection.amounts import Sparsity
from pruning.training.schedules import OneShot
from pruning.training.tuning import Tuning
from tests.browser.conftest import address_of
from tests.browser.test_lab import open_page, recipe_of

QUICK = Recipe("mlp_128", amount=Sparsity(0.6), schedule=OneShot(), tuning=Tuning(epochs=0))


def test_a_grid_is_queued_followed_and_taken_home(page: Page, app: str) -> None:
    open_page(page, address_of(app, QUICK))
    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_role("radio", name="experiments").click()
    expect(
        page.get_by_text(re.compile("Every other setting is as in the Lab: mlp_128 · sparsity 60.0"))
    ).to_be_visible()
    amounts = page.get_by_role("textbox", name="amounts, %")
    amounts.fill("90")
    amounts.press("Enter")
    seeds = page.get_by_role("spinbutton", name="seeds")
    seeds.fill("1")
    seeds.press("Enter")
    for name in ("dense control", "random control"):
        page.get_by_role("checkbox", name=name).focus()
        page.keyboard.press("Space")
    criterion = page.get_by_role("combobox", name="criterion")
    criterion.click()
    criterion.press_sequentially("geometric")
    criterion.press("Enter")
    criterion.press("Escape")
    expect(page.get_by_text("1 do not go together, and are not run")).to_be_visible()
    page.get_by_text("What is not run, and why").click()
    expect(page.get_by_text(re.compile("geometric_median scores channels")).first).to_be_visible()
    page.get_by_role("button", name="Queue 1 runs").click()
    expect(page.get_by_text(re.compile("1 runs: "))).to_be_visible()
    expect(page.get_by_text("1 runs: 1 finished")).to_be_visible(timeout=120_000)
    table = page.locator("table.swept").first
    expect(table.get_by_role("row")).to_have_count(2)
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_role("button", name="tradeoff.png").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390


def test_the_best_of_a_grid_is_found_and_loaded(page: Page, app: str) -> None:
    open_page(page, address_of(app, QUICK))
    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_role("radio", name="experiments").click()
    amounts = page.get_by_role("textbox", name="amounts, %")
    amounts.fill("20, 95")
    amounts.press("Enter")
    page.get_by_text("Find the best of them within a time limit").click()
    page.get_by_role("button", name="Find the best of 2 settings").click()
    expect(page.get_by_text(re.compile("done; 2 of 2 settings were tried"))).to_be_visible(timeout=120_000)
    expect(page.get_by_text(re.compile(r"Best: amount\.share 0\.2, "))).to_be_visible()
    title = page.get_by_role("textbox", name="title")
    title.fill("two amounts")
    title.press("Enter")
    expect(page.get_by_role("combobox", name="experiment")).to_have_value(re.compile("best of a grid: two amounts"))
    settings = page.locator("table.swept th[scope=row]")
    expect(settings).to_have_text(["amount.share 0.2", "amount.share 0.95"])
    page.get_by_role("button", name="Load it into the Lab").click()
    expect(page.locator(".row[data-layer=fc1]")).to_be_visible(timeout=60_000)
    assert from_json(recipe_of(page)).amount == Sparsity(0.2)
