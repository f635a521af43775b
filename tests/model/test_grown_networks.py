"""The properties of surgery on a hundred networks that grow at random; `python -m benchmarks surgery` takes more."""

from dataclasses import replace

import pytest
import torch

from benchmarks.grown_blocks.convolutions import BasicResidual
from benchmarks.grown_blocks.vectors import Hidden, LinearHead
from benchmarks.grown_networks import Plan, Step, grown, planned, samples_of, shrunk
from benchmarks.surgery_checks import check_junk, checked, drawn_keep
from benchmarks.surgery_files import loads_in_a_process, record_of
from pruning.granularities import GRANULARITIES, Channels
from pruning.model.surgery import remove_units

ALL, LOADED = 2, 10
"""Every so many networks are also sorted by all granularities; and written, and loaded again in both ways."""


@pytest.mark.parametrize("seed", range(100))
def test_units_are_pruned_rightly_or_refused(seed):
    granularities = tuple(GRANULARITIES) if seed % ALL == 0 else ("channels",)
    found = checked(planned(seed, most=1), granularities, loading=seed % LOADED == 0)
    assert not found.failures, "\n".join(map(str, found.failures))


def test_a_fresh_process_loads_a_smaller_network_by_the_printed_lines():
    plan = planned(1, most=1)
    model, inputs = grown(plan), samples_of(plan, 4)
    groups, _ = Channels().sorted_out(model, inputs[:1])
    smaller = remove_units(model, inputs[:1], groups, drawn_keep(groups, plan.seed))
    assert loads_in_a_process(record_of(plan, smaller), plan, inputs)


def test_a_seed_grows_the_same_network_again():
    first, second = (grown(planned(4)).state_dict() for _ in range(2))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# two hidden layers with biases and without norms, and a head
PLAIN = Plan("vectors", (Step(Hidden, 3), Step(Hidden, 7), Step(LinearHead, 0)), 0)


def test_junk_shows_every_piece_that_a_group_does_not_know():
    model, samples = grown(PLAIN), samples_of(PLAIN, 4)
    groups, _ = Channels().sorted_out(model, samples[:1])
    keep = {group.name: torch.arange(group.units) > 1 for group in groups}
    assert [len(group.pieces) for group in groups] == [3, 3]  # rows, bias, columns
    check_junk(model, samples, groups, keep)
    for group in groups:
        for missing in group.pieces:
            less = replace(group, ranked=tuple(p for p in group.pieces if p is not missing), follows=())
            with pytest.raises(AssertionError, match="junk"):
                check_junk(model, samples, [less], keep)


def test_networks_are_shrunk_to_the_blocks_that_fail():
    plan = planned(4)
    assert len(plan.steps) == 7
    smallest = shrunk(plan, lambda smaller: any(step.block is BasicResidual for step in smaller.steps))
    assert str(smallest) == "images: Stem -> BasicResidual -> GlobalPool -> LinearHead"
    assert next(step for step in smallest.steps if step.block is BasicResidual) in plan.steps
