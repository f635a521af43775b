"""The table of times: the array that it is measured by, its sums, its file."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from pruning.criteria import Magnitude
from pruning.errors import PruningError, RecipeError
from pruning.granularities import Channels, Weights
from pruning.level_search.additive import Additive
from pruning.level_search.joint_cuts import JointCuts, joint_cuts
from pruning.level_search.latency import layer_times as layer_times_file
from pruning.level_search.latency import measurement, timed
from pruning.level_search.latency.measurement import WIDTHS, grain, inputs_of, ladder_of, measured_table
from pruning.level_search.latency.table import LatencyTable, read_table
from pruning.level_search.latency.timed import of_table
from pruning.recipe.recipe import Recipe
from pruning.repair import LeastSquares
from pruning.selection.goal import Goal
from tests.level_search.test_engine import found
from tests.networks import CPU, taught

COLUMNS = range(WIDTHS + 1)


@pytest.mark.parametrize("first, second", itertools.combinations(COLUMNS, 2))
def test_two_columns_of_the_array_hold_every_pair_once(first, second):
    place = measurement._place
    pairs = [(place(first, *run), place(second, *run)) for run in itertools.product(range(WIDTHS), repeat=2)]
    assert sorted(pairs) == list(itertools.product(range(WIDTHS), repeat=2))


def test_groups_that_share_a_layer_have_different_columns():
    columns = measurement._columns(["a", "b", "c"], [("a", "b"), ("b", "c")])
    assert columns["a"] != columns["b"] != columns["c"] and set(columns.values()) <= set(COLUMNS)


@pytest.mark.parametrize("units, left", [(24, [24, 16, 12, 8, 4]), (96, [96, 72, 48, 24, 16]), (3, [3, 2, 1])])
def test_what_is_left_on_the_ladder_is_a_multiple_of_what_a_cpu_computes_together(units, left):
    assert [units - pruned for pruned in ladder_of(units)] == left
    assert all(kept % grain(units) == 0 for kept in left)


def test_times_of_layers_add_up_to_the_network_that_they_were_made_of():
    """Two layers with known times: 1 + width of a, and width of a times width of b."""
    ladder = {"a": (0, 1, 2, 3, 4), "b": (0, 1, 2, 3, 4)}
    runs = list(itertools.product(range(5), repeat=2))
    places = [{"a": one, "b": other} for one, other in runs]
    parts = [{"": 0.5, "first": 6.0 - one, "second": (5.0 - one) * (5.0 - other)} for one, other in runs]
    summed = measurement._summed(parts, places, {"first": ("a",), "second": ("a", "b")}, ladder)
    for chosen, part in zip(places, parts, strict=True):
        assert summed.of(chosen) == pytest.approx(sum(part.values()))


class Takes(nn.Module):
    """A layer with a parameter that turns the clock on: threefold from pass 10 to 12, a hundredfold in pass 15."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds, self.passes = clock, seconds, 0
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        slow = 3.0 if 10 <= self.passes < 12 else 100.0 if self.passes == 15 else 1.0
        self.clock[0] += slow * self.seconds
        self.passes += 1
        return inputs


def test_layers_are_timed_in_turns_with_the_whole_pass_and_the_dense_network(monkeypatch):
    """Of 10 ms of the dense network one layer has 1 and the other 4; there are passes in which the machine is slow."""
    clock = [0.0]
    monkeypatch.setattr(layer_times_file.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(layer_times_file, "LONG_S", 0.5)
    dense = nn.Sequential(Takes(clock, 0.010))
    model = nn.Sequential(Takes(clock, 0.001), Takes(clock, 0.004))
    took = layer_times_file.layer_times(model, dense, torch.zeros(1, 4), ["0", "1", "a layer that is gone"])
    assert took.layers == pytest.approx({"": 0.0, "0": 0.1, "1": 0.4})
    assert took.whole == pytest.approx(0.5) and took.dense_ms == pytest.approx(10.0)
    turns = dense[0].passes
    assert model[0].passes == 2 * turns  # with and without what looks on
    assert 23 <= turns < 60  # as many as fit into half a second, and no more


def cuts(weights: bool = False):
    granularity = Weights() if weights else Channels()
    return joint_cuts(taught("residual"), Recipe("residual", Magnitude(), granularity), CPU)


def measured(batch: int = 1) -> LatencyTable:
    steps = measured_table(cuts(), batch)
    shares = []
    while True:
        try:
            shares.append(next(steps))
        except StopIteration as end:
            assert shares == sorted(shares) and shares[-1] == 1.0
            return end.value


def test_a_table_is_measured_and_comes_back_from_its_file(tmp_path):
    table = measured(batch=4)
    assert table.batch == 4 and table.threads == 1 and table.times.base > 0
    assert table.ladder.keys() == cuts().units.keys()
    table.write(tmp_path / "device.json")
    again = read_table(tmp_path / "device.json")
    assert (again.device, again.torch, again.remainder) == (table.device, table.torch, table.remainder)
    pruned = {name: counts[-1] for name, counts in table.ladder.items()}
    assert again.milliseconds(pruned) == pytest.approx(table.milliseconds(pruned))


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2}', '{"version": 1}'])
def test_another_file_is_no_table(tmp_path, text):
    (tmp_path / "device.json").write_text(text)
    with pytest.raises(PruningError, match=r"device.json is no table of latencies"):
        read_table(tmp_path / "device.json")
    with pytest.raises(PruningError, match="cannot be read"):
        read_table(tmp_path / "nosuch.json")


TIMES = Additive(
    10.0,
    {"a": np.array([0.0, -2.0, -4.0]), "b": np.array([0.0, -1.0])},
    {("a", "b"): np.array([[0.0, 0.0], [0.0, 0.2], [0.0, 0.6]])},
)
BY_HAND = LatencyTable("cpu (a)", "2", 1, 1, {"a": (0, 2, 4), "b": (0, 4)}, TIMES, 0.0, 0.0)


def test_between_the_widths_times_lie_on_lines():
    """3 of a lie between 2 and 4, 2 of b between 0 and 4: 10 − 3 − 0.5 + half of 0.4."""
    assert BY_HAND.milliseconds({"a": 3, "b": 2}) == pytest.approx(10 - 3 - 0.5 + 0.2)
    assert BY_HAND.milliseconds({}) == 10.0


def test_a_table_of_other_groups_is_refused():
    with pytest.raises(RecipeError, match="the table of latencies is of the groups a, b, and here there are"):
        of_table(cuts(), BY_HAND)


def test_units_that_are_set_to_zero_have_no_table():
    with pytest.raises(PruningError, match="choose a granularity such as channels"):
        next(measured_table(cuts(weights=True)))


def by_width(units: dict[str, int]) -> LatencyTable:
    """Each group's time is in proportion to its width, whatever the machine does meanwhile."""
    ladder = {name: ladder_of(count) for name, count in units.items()}
    share = 1 / len(units)
    single = {name: -share * np.array(ladder[name]) / units[name] for name in units}
    return LatencyTable("made", "2", 1, 1, ladder, Additive(1.0, single), 0.0, 0.0)


def test_a_search_by_a_table_of_another_machine_keeps_to_its_budget():
    from pruning.level_search.engine import search

    units = cuts().units
    recipe = Recipe("residual", Magnitude(), Channels(), repair=LeastSquares(samples=64))
    table = by_width(units)
    steps = search(taught("residual"), recipe, Goal("latency", budget=0.7), 60.0, CPU, latencies=table)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            last = end.value
            break
    pruned = {name: round(share * units[name]) for name, share in last.best.shares.items()}
    assert last.met and last.best.cost == pytest.approx(table.milliseconds(pruned)) and last.best.cost <= 0.7


def test_latency_of_this_machine_is_measured_first(monkeypatch):
    """With times by width in the place of a clock's, so that nothing depends on what the machine does."""

    def made(given, batch):
        yield 1.0
        return by_width(given.units)

    monkeypatch.setattr(timed, "measured_table", made)
    sizes = lambda model: float(sum(p.numel() for p in model.parameters()))  # noqa: E731
    monkeypatch.setattr(timed, "time_left", lambda model, dense, inputs: sizes(model) / sizes(dense))
    last, seen = found("residual", Goal("latency", budget=0.7))
    assert seen[0].phase == "timing the layers" and last.best is not None


def test_a_cut_that_was_timed_slow_once_leaves_no_budget_unused_for_ever(monkeypatch):
    """A cut takes twice as long as the table says, once, and then three times as long as it says."""
    given = cuts()
    costing = timed.Timed(given, by_width(given.units), inputs_of(given, 1), here=True)
    halves = {name: units // 2 for name, units in given.units.items()}
    says = costing.latencies.milliseconds(halves)
    bounds = [costing.bound(0.6)]
    for took in (2 * says, says, says, says):
        monkeypatch.setattr(timed, "time_left", lambda *_, took=took: took)
        assert costing.seen(halves, given.dense) == took
        bounds.append(costing.bound(0.6))
    assert bounds == pytest.approx([0.6, 0.3, 0.3, 0.3, 0.6])


@pytest.mark.parametrize("truly", [0.7, 1.2])
def test_a_search_learns_that_all_cuts_are_faster_or_slower_than_the_table_says(monkeypatch, truly):
    """Of what may be left by what was measured, nothing better is left out, and nothing slower is taken."""
    table, latest = by_width(cuts().units), dict[str, int]()
    trial = JointCuts.trial

    def tried(self, pruned, repair):
        latest.update(dict.fromkeys(self.units, 0), **pruned)
        return trial(self, pruned, repair)

    def made(given, batch):
        yield 1.0
        return table

    monkeypatch.setattr(JointCuts, "trial", tried)
    monkeypatch.setattr(timed, "measured_table", made)
    monkeypatch.setattr(timed, "time_left", lambda *_: truly * table.milliseconds(latest))
    last, _ = found("residual", Goal("latency", budget=0.6))
    every = itertools.product(*(range(0, count, grain(count)) for count in cuts().units.values()))
    costs = [truly * table.milliseconds(dict(zip(table.ladder, pruned, strict=True))) for pruned in every]
    within = max(cost for cost in costs if cost <= 0.6)
    assert last.met and last.best.cost > within - 0.05  # one step of the ladder
