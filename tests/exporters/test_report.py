import re
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

import pytest

from pruning.events import Masked, PrunedValues, SurgeryChecked, Verified
from pruning.exporters import report
from pruning.exporters.report import Report, choices, in_words
from pruning.model.module_sizes import ModuleSizes
from pruning.recipe.recipe import from_json
from pruning.reporting.formatting import THIN
from pruning.reporting.palette import DARK, LIGHT, PAPER, css_variables
from tests.exporters.records import record
from tests.own_workload import recipe_text


def page(*arguments: object, **changes: object) -> str:
    return Report().content(record(*arguments, **changes)).decode()  # type: ignore[arg-type]


def text(html: str) -> str:
    """What a person reads, on one line."""
    without_code = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", without_code).replace(THIN, " ").split())


def test_the_page_needs_nothing_from_outside() -> None:
    html = page()
    assert re.findall(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=", html) == []
    assert "@import" not in html and "url(http" not in html
    assert html.count("plotly.js v") == 1


def test_the_page_takes_its_colours_from_the_palette() -> None:
    html = page()
    for ground in (LIGHT, DARK, PAPER):
        assert f":root {{ {css_variables(ground)} }}" in html
    names = set(re.findall(r"var\(--([a-z]+)\)", html))
    assert names and names <= set(vars(LIGHT))


def test_each_score_says_which_split_it_is_from() -> None:
    reported = text(page())
    for label in ("accuracy, test", "accuracy, validation", "parameters", "non-zeros", "bytes, gzipped", "MACs"):
        assert label in reported
    assert "Test scores are on 300 samples that no choice was made on" in reported


def test_asked_and_achieved_stand_side_by_side() -> None:
    reported = text(page())
    assert "Asked to be pruned: 100 of 300 weights (33.33 %). Pruned: 90 (30.00 %)" in reported
    assert "0 70.0 %" in reported
    assert "Note: 90 were pruned and 100 were asked for" in reported


def test_the_share_of_all_parameters_is_said_where_a_part_takes_no_part() -> None:
    values = PrunedValues(90, 300, 600)
    made = record()
    events = [replace(event, values=values) if isinstance(event, Masked) else event for event in made.events]
    reported = text(Report().content(replace(made, events=tuple(events))).decode())
    assert "90 of 300 weights (30.0 %; 15.0 % of all 600 parameters) were set to zero" in reported
    assert "Pruned: 90 (30.00 %; 15.0 % of all 600 parameters)." in reported
    assert "of all" not in text(page())


def test_units_that_were_only_set_to_zero_where_others_are_removed_are_said() -> None:
    run = record(channels=True)
    checked = SurgeryChecked("tuned", 0.0, 0.5, 0.2)
    removed, partly = (
        text(Report().content(replace(run, events=(*run.events, event))).decode())
        for event in (checked, replace(checked, zeroed="pruned units of 1 of 2 groups are set to zero and not removed"))
    )
    assert "were removed in" in removed and "set to zero" not in removed and "zero too" not in removed
    assert "were removed or set to zero in" in partly
    assert "the network is smaller; pruned units of 1 of 2 groups are set to zero and not removed" in partly
    assert "Units that were set to zero stay in the tensors" in partly


def test_the_classes_that_lost_most_are_named() -> None:
    assert re.search(r"Classes that lost most class dense tuned change a \d+\.\d % 0\.0 %", text(page()))


@pytest.mark.parametrize(
    ("verified", "reported", "not_reported"),
    [
        (Verified(0.5, 0.5, True), "Verified. The run's network scores 50.00 %", "Not verified."),
        (Verified(0.5, 0.25, False), "Not verified. The run's network scores 50.00 %", " Verified."),
        (None, "Not verified. The exported files could not be loaded", " Verified."),
    ],
)
def test_only_equal_scores_are_called_verified(verified: Verified | None, reported: str, not_reported: str) -> None:
    read = text(page(verified))
    assert reported in read and not_reported not in read


def test_names_cannot_write_html() -> None:
    nasty = "</script><script>alert(1)</script>"
    html = page(name=nasty, data=nasty)
    assert "<script>alert" not in html


def test_the_recovery_of_each_class_stands_with_its_interval() -> None:
    reported = text(page())
    assert re.search(r"Recovery .* samples dense pruned tuned all \d+\.\d % \d+\.\d to \d+\.\d 25\.0 %", reported)
    assert 'id="plot-recovery"' in page() and "Wilson (1927)" in reported


def test_a_run_without_classes_or_masks_is_reported_too() -> None:
    run = record()
    few = tuple(event for event in run.events if type(event).__name__ in ("Started", "StageMeasured"))
    started = replace(few[0], classes=())  # type: ignore[type-var]
    reported = text(Report().content(replace(run, events=(started, *few[1:]))).decode())
    assert "stopped before anything were pruned" in reported and "Classes that lost" not in reported


def test_the_report_says_whether_the_file_of_narrow_layers_is_needed() -> None:
    run = record()
    narrow = replace(run, sizes=ModuleSizes(classes={"0": "NarrowLSTM"}))
    needed = "needs nothing but torch, safetensors, the model's class and narrow_layers.py"
    assert needed.replace("needs", "need") in text(Report().content(narrow).decode()).replace("&#39;", "'")
    assert "narrow_layers" not in text(Report().content(run).decode())


def test_the_share_that_had_been_pruned_after_each_round_is_said_as_it_was() -> None:
    recipe = from_json(recipe_text(schedule={"kind": "geometric", "share": 0.5}))
    (note,) = [note for field, _, note in choices(recipe, [0.0, 0.625, 1.0]) if field == "schedule"]
    assert note.replace(THIN, " ") == "share of the amount after each round: 0 %, 62 %, 100 %"
    (note,) = [note for field, _, note in choices(recipe, []) if field == "schedule"]
    assert note == ""


def test_a_choice_is_said_with_its_values() -> None:
    assert in_words({"kind": "budget", "of": "macs", "share": 0.5}) == "budget, of macs, share 0.5"
    assert in_words({"kind": "polynomial", "rounds": 5, "power": 3.0}) == "polynomial, rounds 5, power 3.0"
    assert in_words({"kind": "per_layer", "shares": {"fc": 0.5}, "rest": {"kind": "sparsity", "share": 0.0}}) == (
        "per_layer, shares fc 0.5, rest sparsity, share 0.0"
    )
    assert in_words([]) == "" and in_words(["a", "b"]) == "a, b"


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed_but_captum(package: str) -> str:
        if package == "captum":
            raise PackageNotFoundError(package)
        return version(package)

    assert "captum" in text(page())
    monkeypatch.setattr(report, "version", installed_but_captum)
    assert "captum" not in text(page()) and f"torch {version('torch')}" in text(page())
