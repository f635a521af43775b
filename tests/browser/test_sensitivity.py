"""The sensitivity map in a real browser: it sharpens, stops, and goes to the Lab as a cut."""

import csv
import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from pruning.criteria import Random
from pruning.granularities import Channels
from pruning.recipe.recipe import Recipe, from_json
from pruning.selection.amounts import PerLayer, Sparsity
from tests.browser.conftest import address_of
from tests.browser.test_lab import MEASURED, open_page, plain, recipe_of

MLP = Recipe("mlp_128", amount=Sparsity(0.5))
DONE = re.compile(r"^done: [\d\u202f]+ samples")


def open_map(page: Page, app: str, recipe: Recipe) -> Locator:
    """The page's table once something is known of its first cell."""
    open_page(page, address_of(app, recipe))
    page.get_by_role("link", name="Sensitivity").click()
    page.locator(".sensed td small").first.wait_for(timeout=60_000)
    return page.locator(".sensed")


def test_the_map_sharpens_until_every_cell_is_as_narrow_as_asked(page: Page, app: str, tmp_path: Path) -> None:
    table = open_map(page, app, MLP)
    expect(page.get_by_text(DONE)).to_be_visible(timeout=120_000)
    expect(table.locator("td.open")).to_have_count(0)
    cells = table.get_by_role("row").nth(1).get_by_role("cell")
    expect(cells).to_have_count(11)
    widths = [float(text.split("±")[1]) for text in cells.all_inner_texts() if "±" in text]
    assert widths and max(widths) <= 1.0
    expect(page.locator(".strip")).to_contain_text(MEASURED, timeout=60_000)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    shown = [float(plain(text).split()[0]) for text in cells.all_inner_texts()]
    assert shown == [round(100 * float(row["change"]), 1) + 0.0 for row in rows[:11]]


def test_esc_stops_and_go_on_makes_more_cells_exact(page: Page, app: str) -> None:
    table = open_map(page, app, Recipe("fashion_cnn", criterion=Random(), seed=5))
    page.get_by_role("radio", name="exact").click()
    expect(page.get_by_text(re.compile(r"\d layers done"))).to_be_visible()
    page.keyboard.press("Escape")
    stopped = page.get_by_text(re.compile(r"layers done, stopped$"))
    expect(stopped).to_be_visible()
    before = table.inner_text(), stopped.inner_text()
    page.wait_for_timeout(1500)
    assert (table.inner_text(), stopped.inner_text()) == before
    exact = table.locator("td.sure")
    known = exact.count()
    assert known < 33  # 3 layers, 11 levels
    page.get_by_role("button", name="Go on").click()
    expect(exact.nth(known)).to_be_visible(timeout=120_000)
    expect(exact.nth(known)).not_to_contain_text("±")


def test_the_suggestion_follows_its_slider_and_is_loaded_into_the_lab(page: Page, app: str) -> None:
    table = open_map(page, app, MLP)
    expect(page.get_by_text(DONE)).to_be_visible(timeout=120_000)
    before = page.locator(".cuts").inner_text()
    limit = page.get_by_role("slider", name=re.compile("each layer alone costs at most"))
    limit.press("End")  # 10 points
    expect(page.locator(".cuts")).not_to_have_text(before, use_inner_text=True)
    expect(page.locator(".strip")).to_contain_text(MEASURED, timeout=60_000)
    expect(table.locator("td.cut")).to_have_count(2)
    shares = [float(plain(text).split()[0]) / 100 for text in page.locator(".cuts td:nth-child(2)").all_inner_texts()]
    page.get_by_role("button", name="Load into the Lab").click()
    expect(page.locator(".row[data-layer=fc1]")).to_be_visible(timeout=60_000)
    assert from_json(recipe_of(page)).amount == PerLayer(dict(zip(("fc1", "fc2"), shares, strict=True)))
    expect(page.get_by_role("checkbox", name="lock fc1")).to_be_checked()


def test_nothing_jumps_while_the_map_sharpens(page: Page, app: str) -> None:
    """A narrow screen: the table scrolls in itself and stays where it was; a list that is open stays open."""
    open_map(page, app, Recipe("fashion_cnn", criterion=Random(), granularity=Channels(), seed=6))
    page.get_by_role("radio", name="exact").click()
    page.set_viewport_size({"width": 390, "height": 844})
    box = page.locator(".st-key-sensitivity_map")
    samples = page.get_by_text(re.compile(r"of about"))
    page.wait_for_function("box => box.scrollWidth > box.clientWidth + 150", arg=box.element_handle())
    box.evaluate("box => box.scrollLeft = 150")
    seen = samples.inner_text()
    expect(samples).not_to_have_text(seen)
    assert box.evaluate("box => box.scrollLeft") == 150
    page.get_by_role("combobox", name=re.compile("layers")).click()
    expect(page.get_by_role("option", name="conv2")).to_be_visible()
    seen = samples.inner_text()
    expect(samples).not_to_have_text(seen)
    page.get_by_role("option", name="conv2").click()
    expect(page.get_by_test_id("stMultiSelect")).to_contain_text("conv1conv2")
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
