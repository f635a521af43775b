"""The main job in a real browser: load, slide, estimate, measure, run, export; the downloaded file scores the same."""

import re
import time
from dataclasses import replace
from pathlib import Path

import torch
from playwright.sync_api import Page, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from pruning.criteria import OptimalBrainDamage
from pruning.evaluation.accuracy import Evaluator
from pruning.exporters.loading import load_network
from pruning.exporters.reading import read_own_network
from pruning.granularities import Channels
from pruning.recipe.recipe import Recipe, from_json
from pruning.reporting.formatting import percent
from pruning.selection.amounts import Sparsity
from pruning.selection.scopes import WithinLayer
from pruning.training.schedules import OneShot, Polynomial
from pruning.training.tuning import Tuning
from sample_models import MODELS
from tests.browser.conftest import address_of

QUICK = Recipe(
    "mlp_128",
    granularity=Channels(),
    scope=WithinLayer(),
    amount=Sparsity(0.25),
    schedule=OneShot(),
    tuning=Tuning(epochs=1, images_per_epoch=2560),
)
LONG = replace(QUICK, workload="lenet_300_100", schedule=Polynomial(rounds=20), tuning=Tuning(epochs=5))
SLOW = Recipe("mlp_128", OptimalBrainDamage("hutchinson", samples=4096, probes=48))
"""Half a minute of scoring on two idle cores."""
MEASURED = re.compile(r"measured [\d.]+")

SHARE = "(document.querySelector('[data-testid=stProgress] [role=progressbar]')?.ariaValueNow ?? 0)"
"""How many percent of the scoring the page says are done."""


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    page.locator(".strip").wait_for()


def plain(text: str) -> str:
    return text.replace("\u202f", " ").replace("\u2212", "-")


def test_first_page_shows_a_trained_network_and_measures_it(page: Page, app: str) -> None:
    open_page(page, app)
    expect(page.locator(".strip")).to_contain_text(MEASURED)
    for layer in ("conv1", "conv2", "fc"):
        expect(page.locator(f".row[data-layer={layer}] svg")).to_be_visible()
    expect(page.get_by_role("application", name=re.compile("heatmap of conv1"))).to_be_visible()


def test_slider_by_keyboard_changes_sizes_then_accuracy(page: Page, app: str) -> None:
    open_page(page, address_of(app, Recipe("mlp_128", amount=Sparsity(0.5))))
    expect(page.locator(".strip")).to_contain_text(MEASURED)
    before = page.locator(".strip").inner_text()
    page.locator("[data-testid=stSlider] input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")
    units = 784 * 128 + 128 * 10
    kept = f"{units - round(0.505 * units) + 138:,}".replace(",", "\u202f")  # and the biases, which stay
    expect(page.locator(".strip")).to_contain_text(kept, timeout=30_000)
    expect(page.locator(".strip")).to_contain_text(MEASURED, timeout=30_000)
    assert page.locator(".strip").inner_text() != before
    assert from_json(recipe_of(page)).amount == Sparsity(0.505)


def test_a_move_draws_the_part_alone_that_it_changes(page: Page, app: str) -> None:
    drawn: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda data: drawn.extend(drawn_by(data))))
    open_page(page, address_of(app, Recipe("fashion_cnn", amount=Sparsity(0.5))))
    expect(page.locator(".strip")).to_contain_text(MEASURED)
    page.wait_for_timeout(1000)
    assert {"criterion", "epochs", "share"} <= set(drawn)
    assert "learning rate" not in drawn  # folded away
    drawn.clear()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("[data-testid=stSlider] input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".strip")).to_contain_text(re.compile("measured.*kept 49"), timeout=30_000)
    page.wait_for_timeout(1000)
    assert "share" in drawn and not {"criterion", "epochs"} & set(drawn)
    assert "measured" not in drawn and any("/live/" in address for address in asked)  # beside the page's script
    moments = len(asked)
    page.wait_for_timeout(1500)
    assert len(asked) == moments  # all is known


def drawn_by(frame: str | bytes) -> list[str]:
    """The labels of the controls that a message of the protocol draws; "measured" for a strip that says so."""
    message = ForwardMsg()
    message.ParseFromString(frame if isinstance(frame, bytes) else frame.encode())
    if message.WhichOneof("type") != "delta":
        return []
    element = message.delta.new_element
    kind = element.WhichOneof("type")
    if kind == "html":
        return ["measured"] if "measured" in element.html.body.partition("</style>")[2] else []
    return [getattr(element, kind).label] if kind in ("selectbox", "slider", "number_input") else []


def recipe_of(page: Page) -> str:
    page.wait_for_timeout(500)
    return str(page.evaluate("new URLSearchParams(location.search).get('recipe')"))


def test_scoring_stops_and_goes_on_where_it_was(page: Page, app: str) -> None:
    page.goto(address_of(app, SLOW))
    bar = page.get_by_test_id("stProgress")
    expect(bar).to_contain_text(re.compile("optimal brain damage scores the units, about .* left"))
    first, begun = float(page.evaluate(SHARE)), time.monotonic()
    page.wait_for_function(f"{SHARE} >= {first + 6}")
    share = float(page.evaluate(SHARE))
    pace = (share - first) / (time.monotonic() - begun)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("Scoring was stopped: choose another criterion, or go on.")).to_be_visible()
    expect(bar).to_have_count(0)
    stopped = time.monotonic()
    page.wait_for_timeout(5_000)  # for a worker that went on, a good part of the whole
    expect(bar).to_have_count(0)
    page.get_by_role("button", name="Go on", exact=True).click()
    page.wait_for_function(f"{SHARE} > 0")
    resumed = float(page.evaluate(SHARE))
    # half of what a worker would have done that went on
    assert share <= resumed < share + pace * (time.monotonic() - stopped) / 2
    page.wait_for_function(f"{SHARE} > {resumed}")


def test_a_row_locks_keeps_whole_and_shows_its_heatmap(page: Page, app: str) -> None:
    open_page(page, address_of(app, Recipe("mlp_128", amount=Sparsity(0.5))))
    row = page.locator(".row[data-layer=fc2]")
    row.get_by_role("slider").focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(row.get_by_role("checkbox", name="lock fc2")).to_be_checked()
    locked = float(row.locator(".value").inner_text().split()[0])
    expect(row.locator(".num")).to_contain_text(percent(1 - locked / 100))
    page.locator(".row[data-layer=fc1]").get_by_role("checkbox", name="whole fc1").check()
    expect(page.locator(".row[data-layer=fc1] .num")).to_contain_text(percent(1.0))
    assert from_json(recipe_of(page)).keep_whole == {"fc1"}
    row.get_by_role("button", name="heatmap fc2").click()
    image = page.get_by_role("application", name=re.compile("heatmap of fc2"))
    expect(image).to_be_visible()
    image.focus()
    page.keyboard.press("+")
    expect(page.locator(".where")).to_contain_text(re.compile(r"columns 32"))
    page.get_by_role("button", name="whole layer").click()
    expect(page.locator(".where")).to_contain_text(re.compile(r"columns 0"))


def test_run_export_and_the_downloaded_file_scores_the_same(page: Page, app: str, tmp_path: Path) -> None:
    open_page(page, address_of(app, QUICK))
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text(re.compile("finished in"))).to_be_visible(timeout=120_000)
    verified = page.get_by_text(re.compile("Verified: this network scores"))
    expect(verified).to_be_visible()
    shown = re.findall(r"[\d.]+(?= %)", plain(verified.inner_text()))
    assert len(shown) == 2 and shown[0] == shown[1]
    files: dict[str, Path] = {}
    for label in (".safetensors", ".pt", "recipe.json", "report"):
        with page.expect_download() as download:
            page.get_by_role("button", name=label, exact=True).click()
        files[label] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[label])
    assert from_json(files["recipe.json"].read_text(encoding="utf-8")) == QUICK
    assert "plotly" in files["report"].read_text(encoding="utf-8").lower()
    workload, cpu = MODELS["mlp_128"](), torch.device("cpu")
    tensors, same = (read_own_network(files[label])[0] for label in (".safetensors", ".pt"))
    assert tensors.keys() == same.keys() and all(torch.equal(tensors[name], same[name]) for name in tensors)
    network = load_network(workload, tensors, cpu)
    scores, _ = Evaluator(workload.test, workload.task, cpu).evaluate_all(network)
    assert plain(percent(float(scores.double().mean()), 2)) == f"{shown[0]} %"
    assert network.get_parameter("fc1.weight").shape[0] == 96


def test_f5_finds_the_run_and_esc_keeps_the_partial_result(page: Page, app: str) -> None:
    open_page(page, address_of(app, LONG))
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text(re.compile(r"round 1 of 20, epoch"))).to_be_visible(timeout=60_000)
    page.reload()
    expect(page.get_by_text(re.compile(r"round \d+ of 20"))).to_be_visible(timeout=60_000)
    assert from_json(recipe_of(page)) == LONG
    page.keyboard.press("Escape")
    expect(page.get_by_text(re.compile("the partial result is kept"))).to_be_visible(timeout=120_000)
    expect(page.get_by_text(re.compile("Verified: this network scores"))).to_be_visible()


def test_what_does_not_fit_is_a_sentence_and_the_page_goes_on(page: Page, app: str) -> None:
    open_page(page, address_of(app, QUICK) + "&run=nothing-1")
    expect(page.get_by_text(re.compile("nothing-1"))).to_be_visible()
    expect(page.locator(".strip")).to_contain_text(MEASURED)
    page.goto(f"{app}/?recipe=%7B%22version%22%3A+7%7D")
    expect(page.get_by_text(re.compile("version is 7"))).to_be_visible()
    expect(page.locator(".strip")).to_contain_text(MEASURED)


def test_a_narrow_screen_does_not_scroll_sideways(page: Page, app: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_page(page, app)
    expect(page.locator(".strip")).to_contain_text(MEASURED)
    wide = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    assert wide <= 390
