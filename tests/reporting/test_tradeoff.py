"""Score against compression: who is on the front, and what the figures draw."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pruning.metric import ACCURACY, Metric
from pruning.reporting.literature import published, published_beside, published_rows
from pruning.reporting.palette import STAGES
from pruning.reporting.plots_sweep import parallel_figure, tradeoff_figure
from pruning.reporting.sweep_table import sweep_table
from pruning.reporting.tradeoff import front, series_of, tradeoff
from tests.reporting.sweep_trials import trial

MSE = Metric("MSE", better="lower", low=0.0)
TRIALS = [
    trial(0.9, 0.5), trial(0.86, 0.5, 1), trial(0.7, 0.9), trial(0.85, 0.5, criterion="taylor"),
    trial(0.8, 0.9, criterion="taylor"), trial(0.91, 0.0, role="dense"),
    trial(0.3, 0.9, criterion="random", role="random"),
]  # fmt: skip
PAIRS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=8)


def test_the_front_by_hand() -> None:
    points = [(1.0, 0.9), (2.0, 0.92), (3.0, 0.8), (3.0, 0.7), (4.0, 0.6)]
    assert front(points) == [1, 2, 4]
    assert front(points, MSE) == [4]  # most compressed and lowest


@given(PAIRS)
def test_nobody_on_the_front_is_beaten_and_everybody_else_is(pairs: list[tuple[int, int]]) -> None:
    points = [(float(size), score / 6) for size, score in pairs]
    on = set(front(points))
    for place, (size, score) in enumerate(points):
        beaten = any(other[0] >= size and other[1] >= score and other != (size, score) for other in points)
        assert (place in on) is not beaten


def test_points_are_the_groups_with_their_series() -> None:
    points = tradeoff(sweep_table(TRIALS))
    assert [(point.label, point.series, round(point.compression)) for point in points] == [
        ("magnitude, 0.5", "magnitude", 2), ("magnitude, 0.9", "magnitude", 10),
        ("taylor, 0.5", "taylor", 2), ("taylor, 0.9", "taylor", 10),
        ("dense control", "dense control", 1), ("random control, random, 0.9", "random control", 10),
    ]  # fmt: skip
    assert [point.label for point in points if point.front] == ["magnitude, 0.5", "taylor, 0.9"]
    assert points[0].runs == 2 and points[0].score.half_width is not None
    assert {point.compression for point in tradeoff(sweep_table(TRIALS), "macs")} == {1.0}


def test_the_figure_draws_each_series_once_with_its_intervals() -> None:
    points = tradeoff(sweep_table(TRIALS))
    figure = tradeoff_figure(points, published=[])
    drawn = {trace.name: trace for trace in figure.data}
    assert list(drawn) == ["Pareto front", *series_of(points)]
    assert list(drawn["magnitude"].y) == [88.0, 70.0] and drawn["magnitude"].error_y.array[1] == 0.0
    assert drawn["dense control"].line.color == STAGES["dense"].hue and set(drawn["dense control"].y) == {91.0}
    assert drawn["Pareto front"].x[0] == 2.0
    assert figure.layout.xaxis.type == "log"
    # the interval of two seeds reaches from 62.6 to 113.4: the axis ends where accuracy does
    low, high = figure.layout.yaxis.range
    assert low < 30 and 100 < high < 105


def test_published_results_are_hollow_and_cited_and_only_beside_the_same_network_and_data() -> None:
    own = [trial(0.98, 0.9, workload="mnist_lenet_300_100")]
    assert published_beside(own) == []  # another network: 100 parameters
    lenet = [replace(own[0], dense=replace(own[0].dense, parameters=266_610))]
    beside = published_beside(lenet)
    assert {result.workload for result in beside} == {"mnist_lenet_300_100"} and len(beside) >= 7
    assert published_beside([*lenet, trial(0.9)]) == []
    figure = tradeoff_figure(tradeoff(sweep_table(lenet)), published=beside)
    (marks,) = [trace for trace in figure.data if trace.name == "published"]
    assert marks.marker.symbol.endswith("-open")
    hans = next(each for each in marks.customdata if "Han et al. 2015" in each[2])
    assert hans[1] == "1.59" and "arXiv 1506.02626" in hans[2]
    place = [each[2] for each in marks.customdata].index(hans[2])
    assert (marks.x[place], round(marks.y[place], 2)) == (12.0, 98.41)
    assert all(trace.name != "published" for trace in tradeoff_figure([], "bytes", published=beside).data)


def test_every_published_result_has_its_source_and_year() -> None:
    for result in published():
        assert str(result.year) in result.source or "as cited" in result.source
        assert "arXiv" in result.source and 0 < result.error < 5 and result.compression > 1
    assert published_rows(published())[0][1:4] == ["2020", "1.44\u202f%", "not reported"]
    assert {result.parameters for result in published()} == {266_610, 431_080}


def test_parallel_coordinates_have_an_axis_for_what_differs() -> None:
    figure = parallel_figure(TRIALS, ACCURACY)
    dimensions = figure.data[0].dimensions
    settings = ["criterion", "amount.share", "seed"]
    assert [each.label for each in dimensions] == [*settings, "compression", "accuracy, % (test)"]
    assert list(dimensions[0].ticktext) == ["magnitude", "random", "taylor"]
    assert list(dimensions[0].values) == [0, 0, 0, 2, 2, 0, 1]
    assert list(dimensions[1].values)[:3] == [0.5, 0.5, 0.9]
