"""The choices and the page that compares them, in a real browser: pick, see the form change, compare, come back."""

import re
from dataclasses import replace

from playwright.sync_api import Page, expect

from pruning.criteria import Attribution, BatchnormScale
from pruning.granularities import Channels
from pruning.recipe.recipe import Recipe, from_json
from pruning.selection.amounts import Budget, Sparsity
from pruning.selection.scopes import WithinBlocks
from tests.browser.conftest import address_of
from tests.browser.test_lab import MEASURED, open_page, recipe_of

MLP = Recipe("mlp_128", amount=Sparsity(0.7))


def pick(page: Page, label: str, option: str) -> None:
    """Choose from a list of the sidebar, by keyboard."""
    box = page.get_by_test_id("stSidebar").get_by_role("combobox", name=re.compile(rf"\b{label}$"))
    box.click()
    box.fill(option)
    page.get_by_role("option", name=option, exact=True).first.click()


def test_choosing_a_kind_shows_its_own_fields_formula_and_source(page: Page, app: str) -> None:
    open_page(page, address_of(app, MLP))
    pick(page, "criterion", "optimal brain surgeon")
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar.get_by_text(re.compile("Hassibi 1993"))).to_be_visible()
    expect(sidebar.get_by_text("damping")).to_be_visible()
    pick(page, "scope", "blocks")
    expect(page.locator(".strip")).to_contain_text(MEASURED, timeout=60_000)
    recipe = from_json(recipe_of(page))
    assert recipe.scope == WithinBlocks(4) and type(recipe.criterion).__name__ == "OptimalBrainSurgeon"


def test_choices_that_do_not_go_together_give_a_sentence_beside_them(page: Page, app: str) -> None:
    open_page(page, address_of(app, MLP))
    pick(page, "criterion", "apoz")
    sentence = "apoz scores channels, not single weights: choose granularity channels"
    expect(page.get_by_test_id("stSidebar").get_by_text(sentence)).to_be_visible()
    pick(page, "granularity", "channels")
    expect(page.get_by_test_id("stSidebar").get_by_text(sentence)).to_be_hidden()
    expect(page.locator(".strip")).to_contain_text(MEASURED, timeout=60_000)


def test_units_are_ranked_in_a_chart_of_their_own(page: Page, app: str) -> None:
    open_page(page, address_of(app, replace(MLP, granularity=Channels(), amount=Budget("macs", 0.5))))
    expect(page.get_by_text("Units of fc1")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^\d+ of 128 units are pruned$"))).to_be_visible()
    expect(page.locator(".js-plotly-plot .bars path").first).to_be_visible()


def test_criteria_are_compared_and_the_recipe_survives_the_way_back(page: Page, app: str) -> None:
    recipe = replace(MLP, granularity=Channels(), criterion=Attribution(samples=32, steps=2), seed=4)
    open_page(page, address_of(app, recipe))
    expect(page.locator(".strip")).to_contain_text(MEASURED, timeout=60_000)
    page.get_by_role("link", name="Compare").click()
    table = page.locator(".compared")
    expect(table.get_by_role("rowheader", name="attribution")).to_be_visible()
    expect(table).not_to_contain_text(re.compile("estimated|evaluating|scoring"), timeout=120_000)
    assert table.locator(".sure").count() >= 5
    # a perceptron has no norms: a sentence stands in the row, and nothing else is lost
    row = table.locator("tr", has=page.get_by_role("rowheader", name="batchnorm scale"))
    expect(row).to_contain_text("norm")
    assert BatchnormScale.formula in str(row.get_by_role("rowheader").get_attribute("title"))
    expect(page.get_by_text("Rank agreement")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    page.get_by_role("link", name="Lab").click()
    expect(page.locator(".strip")).to_contain_text(MEASURED, timeout=60_000)
    assert from_json(recipe_of(page)) == recipe
