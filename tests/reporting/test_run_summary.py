from pruning.events import (
    AmountFound,
    Event,
    Finished,
    Masked,
    Measured,
    PrunedValues,
    Resumed,
    Searching,
    Stage,
    StageMeasured,
    Started,
    TuningStep,
    Warned,
)
from pruning.metric import Metric
from pruning.reporting.formatting import MINUS, THIN
from pruning.reporting.palette import STAGES as STAGE_STYLES
from pruning.reporting.plots_run import curve_figure, size_figure
from pruning.reporting.run_progress import progress
from pruning.reporting.run_summary import (
    ClassChange,
    CutMark,
    LossPoint,
    ScorePoint,
    SizePoint,
    amount_found,
    curve,
    latest,
    leaves_out,
    metric_of_run,
    share_of_all,
    size_points,
    stage_rows,
    stages_of,
    values_of,
    worst_classes,
)


def stage(score: float = 0.9, validation: float = 0.8, nonzero: int = 100, classes: tuple[float, ...] = ()) -> Stage:
    return Stage(score, validation, 1000, 100, nonzero, 5000, 2000, 1000, classes)


STARTED = Started("net", "cpu (x86_64)", 2, 40, ("a", "b", "c"))
DENSE = StageMeasured("dense", stage())
PRUNED = StageMeasured("pruned", stage(0.5, 0.4, 20))
ROUND_1 = [
    Masked(0, 0.75, 60, 60, 100, {"fc": 0.4}),
    Measured(0, 0, "validation", 0.5, 0.6),
    TuningStep(0, 0, 1, 2.0),
    TuningStep(0, 0, 20, 1.0),
    Measured(0, 20, "validation", 0.75, 0.6),
]
ROUND_2 = [Masked(1, 1.0, 80, 80, 100, {"fc": 0.2}), Measured(1, 20, "validation", 0.625, 0.8)]
SO_FAR: list[Event] = [STARTED, DENSE, PRUNED, *ROUND_1, *ROUND_2]


def test_a_curve_has_every_score_loss_and_cut() -> None:
    found = curve(SO_FAR)
    assert found.scores == (ScorePoint(0, 0.5, 0.6), ScorePoint(20, 0.75, 0.6), ScorePoint(20, 0.625, 0.8))
    assert found.losses == (LossPoint(1, 2.0), LossPoint(20, 1.0))
    assert found.cuts == (CutMark(1, 0), CutMark(2, 20))
    assert (found.dense, found.steps) == (0.8, 40)


def test_a_curve_without_events_is_empty() -> None:
    found = curve([])
    assert (found.scores, found.losses, found.cuts, found.dense, found.steps) == ((), (), (), None, 0)


def test_a_run_that_began_again_is_said_from_there() -> None:
    assert latest([*SO_FAR, Warned("again"), STARTED]) == [STARTED]
    assert curve([*SO_FAR, STARTED, DENSE]).scores == ()


def test_nothing_is_promised_before_the_speed_is_known() -> None:
    for events in ([], [STARTED], [STARTED, DENSE]):
        assert progress(events, 3.0).seconds_left is None


def test_the_time_left_follows_from_the_time_taken() -> None:
    # scoring 1000 samples is worth 5 steps: of 40 + 5 · (3 stages + 2 rounds + 3) = 80, done are 20 + 5 · (2 + 2) = 40
    at = progress(SO_FAR, 47.0)
    assert (at.fraction, at.seconds_left) == (0.5, 47.0)
    assert at.phase == "round 2 of 2"
    assert progress([*SO_FAR, TuningStep(1, 0, 21, 1.0)], 1.0).phase == "round 2 of 2, epoch 1"


def test_a_resumed_runs_speed_is_that_since_it_was_resumed() -> None:
    # of 80 steps' worth 20 + 5 · (2 + 1) = 35 were done before, 5 since: the 40 that are left take 8 times as long
    events = [STARTED, DENSE, PRUNED, *ROUND_1, Resumed(8, 0, 20), *ROUND_2]
    assert progress(events, 5.0).seconds_left == 40.0
    assert progress(events[:-2], 5.0).seconds_left is None
    assert curve(events) == curve(SO_FAR)


FOUND = AmountFound("macs", 0.5, 0.004, True, {"fc": 0.6}, 12, 100.0)
SEARCHED = [Searching("timing the layers", 0, 1, True), Searching("each group alone", 1, 20, True), FOUND]


def test_a_search_says_what_it_is_doing_and_nothing_of_the_time_left() -> None:
    phases = [progress(SEARCHED[:n], 9.0).phase for n in (1, 2)]
    assert phases == [
        "searching for the amount: timing the layers", "searching for the amount: each group alone, cut 1 of about 20",
    ]  # fmt: skip
    assert progress(SEARCHED[:2], 9.0).fraction == 0.0 and progress(SEARCHED[:2], 9.0).seconds_left is None
    assert progress(SEARCHED, 100.0).phase == "scoring the dense network"


def test_the_seconds_of_a_search_say_nothing_of_how_long_the_rest_takes() -> None:
    assert progress([*SEARCHED, *SO_FAR], 147.0) == progress(SO_FAR, 47.0)
    # those of an attempt before this one have not passed since it was resumed
    events = [STARTED, DENSE, PRUNED, *ROUND_1, Resumed(8, 0, 20), *ROUND_2]
    assert progress([*SEARCHED, *events], 5.0) == progress(events, 5.0)


def test_what_was_found_is_known_of_the_whole_run() -> None:
    assert amount_found(SO_FAR) is None and amount_found(SEARCHED[:2]) is None
    assert amount_found([*SEARCHED, *SO_FAR, Warned("again"), STARTED]) == FOUND


def test_progress_only_grows_and_ends_at_one() -> None:
    tuned, exported = StageMeasured("tuned", stage()), StageMeasured("exported", stage())
    events = [*SO_FAR, TuningStep(1, 0, 40, 1.0), tuned, exported, Finished(False, 9.0)]
    fractions = [progress(events[:n], 5.0).fraction for n in range(len(events) + 1)]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0 and fractions[-1] == 1.0
    assert progress(events, 5.0).seconds_left == 0.0


def test_rounds_are_the_work_where_nothing_is_tuned() -> None:
    without = [Started("net", "cpu", 2, 0, ()), DENSE, PRUNED, ROUND_1[0], ROUND_2[0]]
    assert progress(without, 1.0).fraction == 5 * (2 + 2) / (5 * 8)


def test_stages_stand_side_by_side_with_signed_changes() -> None:
    rows = {row.label: row.cells for row in stage_rows({"dense": DENSE.result, "pruned": PRUNED.result})}
    dense, pruned = rows["accuracy, test"]
    assert (dense.stage, dense.text, dense.change) == ("dense", f"90.00{THIN}%", "")
    assert (pruned.stage, pruned.text, pruned.change) == ("pruned", f"50.00{THIN}%", f"{MINUS}40.00{THIN}points")
    assert [cell.change for cell in rows["non-zeros"]] == ["", f"{MINUS}80.0{THIN}%"]
    assert rows["bytes"][0].text == f"2.00{THIN}kB"
    assert {"accuracy, validation", "parameters", "bytes, gzipped", "MACs"} < rows.keys()


def test_what_is_pruned_of_all_is_said_where_a_tenth_or_more_takes_no_part() -> None:
    assert share_of_all(PrunedValues(19_500_000, 39_000_000, 124_000_000)) == (
        f"; 15.7{THIN}% of all 124{THIN}M parameters"
    )
    assert leaves_out(PrunedValues(0, 899, 1000)) and not leaves_out(PrunedValues(0, 900, 1000))
    assert share_of_all(PrunedValues(450, 900, 1000)) == "" == share_of_all(None)


def test_the_values_of_a_run_are_those_of_its_last_cut() -> None:
    first, last = (Masked(n, 1.0, 80, 80, 100, {"fc": 0.2}, PrunedValues(80 + n, 100, 200)) for n in (0, 1))
    assert values_of([STARTED, first, TuningStep(0, 0, 1, 2.0), last]) == PrunedValues(81, 100, 200)
    assert values_of(SO_FAR) is None is values_of([first, STARTED])


def test_the_classes_that_lost_most_come_first_and_gains_are_left_out() -> None:
    before, after = stage(classes=(0.5, 0.75, 0.5, 0.25)), stage(classes=(0.25, 0.25, 0.75, 0.25))
    assert worst_classes(before, after, "abcd", 5) == [ClassChange("b", 0.75, 0.25), ClassChange("a", 0.5, 0.25)]
    assert worst_classes(before, after, "abcd", 1)[0].change == -0.5
    assert worst_classes(stage(), stage(), (), 3) == []


def test_sizes_come_in_the_order_of_the_stages() -> None:
    points = size_points({"tuned": stage(0.7), "dense": stage(0.9)})
    assert points == [SizePoint("dense", 0.9, 2000, 1000), SizePoint("tuned", 0.7, 2000, 1000)]


def test_figures_draw_what_the_points_say() -> None:
    drawn = {trace.name: trace for trace in curve_figure(curve(SO_FAR)).data}
    assert list(drawn["while tuning"].y) == [50.0, 75.0, 62.5]
    assert list(drawn["sparsity"].y) == [0.0, 60.0, 60.0, 80.0]
    assert list(drawn["training loss"].x) == [1, 20]
    assert list(size_figure(size_points({"dense": stage()})).data[0].x) == [2.0, 1.0]


def test_an_empty_run_can_be_drawn() -> None:
    assert curve_figure(curve([])).data is not None
    assert len(size_figure([]).data) == 0


def test_stages_differ_in_more_than_hue() -> None:
    styles = STAGE_STYLES.values()
    for field in ("hue", "dash", "mark"):
        assert len({getattr(style, field) for style in styles}) == len(styles)


ERROR = Metric("MSE", "lower", low=0.0)
MEASURED_BY_ERROR: list[Event] = [
    Started("net", "cpu", 1, 20, ("a", "b", "c"), ERROR),
    StageMeasured("dense", stage(0.25, 0.5, classes=(0.1, 0.2, 0.3))),
    StageMeasured("tuned", stage(0.75, 0.375, classes=(0.5, 0.1, 0.4))),
]


def test_a_run_is_shown_by_the_metric_that_it_says() -> None:
    stages = stages_of(MEASURED_BY_ERROR)
    test, validation, *_ = stage_rows(stages, metric_of_run(MEASURED_BY_ERROR))
    assert (test.label, validation.label) == ("MSE, test (lower is better)", "MSE, validation (lower is better)")
    assert [cell.text for cell in test.cells] == ["0.2500", "0.7500"]
    assert test.cells[1].change == "+0.500 worse" and validation.cells[1].change == f"{MINUS}0.125 better"


def test_the_classes_that_lost_most_are_those_whose_error_grew() -> None:
    stages = stages_of(MEASURED_BY_ERROR)
    found = worst_classes(stages["dense"], stages["tuned"], ("a", "b", "c"), 3, ERROR)
    assert [change.name for change in found] == ["a", "c"]  # by 0.4 and 0.1; b is better


def test_an_error_of_nothing_is_shown() -> None:
    labels = [row.label for row in stage_rows({"dense": stage(0.0, 0.0)}, ERROR)]
    assert labels[:2] == ["MSE, test (lower is better)", "MSE, validation (lower is better)"]


def test_an_error_is_drawn_in_its_own_unit() -> None:
    drawn = curve_figure(curve([*MEASURED_BY_ERROR, Measured(0, 20, "validation", 0.375, 0.6)]))
    values = {trace.name: trace for trace in drawn.data}
    assert list(values["while tuning"].y) == [0.375] and list(values["dense"].y) == [0.5, 0.5]
    assert drawn.layout.yaxis.title.text == "MSE (validation), lower is better"
    assert size_figure(size_points(stages_of(MEASURED_BY_ERROR)), ERROR).data[0].y[0] == 0.25
