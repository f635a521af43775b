"""Every network of the zoo through the library's front door: looked at, cut in every way, mapped, written, read again.

A cut that is refused with a sentence is skipped, and the sentence is the reason: `pytest -rs` lists them.
"""

import pytest
import torch

pytest.importorskip("transformers", reason="strangers' networks: make test-zoo installs them")

import pruning
from pruning.cli.inspection import layer_rows
from pruning.errors import PruningError
from pruning.exporters.workload_source import Called
from pruning.granularities import Channels, Heads, RNNUnits
from pruning.model.costs import costs
from pruning.model.preparation import open_model
from pruning.selection.amounts import PerLayer
from tests.junk import check_junk_is_never_read
from tests.zoo.cuts import (
    CPU,
    SAMPLES,
    cut,
    difference,
    differences_of_files,
    lost,
    natural,
    only_zeroed,
    says_so,
    workload,
    written,
)
from tests.zoo.networks import NETWORKS
from tests.zoo.plain_norms import difference_without_statistics
from tests.zoo.snippets import outputs_of, printed

TOLERANCE = 1e-5
"""How far masked and removed may lie apart, as a share of the largest output, where nobody says so."""
ROUNDING = 1e-9
"""The same in float64, where norms do not look at their units."""

ONLY_FLOAT32 = ("transformers/mixtral",)

# all tests of a network in one process, which keeps its cuts
NAMES = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in NETWORKS]
each_network = pytest.mark.parametrize("name", NAMES)


def cut_or_skip(name: str, granularity: str, share: float = 0.3) -> pruning.PruningResult:
    try:
        return cut(name, granularity, share)
    except PruningError as refusal:
        pytest.skip(str(refusal))


@each_network
def test_every_layer_is_in_the_table_and_says_why_it_stays(name):
    work = workload(name)
    model = open_model(work, CPU)
    rows = layer_rows(model, work)
    assert sum(row.parameters for row in rows) >= costs(model, work.example).parameters
    assert not [row.name for row in rows if not (row.channels or row.why_no_channels)]


@each_network
def test_half_of_the_weights_are_zero_and_the_file_holds_them(name, tmp_path):
    result = cut(name, "weights", 0.5)  # any network has weights: this is never refused
    pruned, units = (sum(int(count(keep)) for keep in result.keep.values()) for count in (lambda k: (~k).sum(), len))
    assert pruned == pytest.approx(units / 2, abs=len(result.keep))
    assert differences_of_files(result, tmp_path) == []


@each_network
@pytest.mark.parametrize("granularity", ["channels", "heads", "rnn_units"])
def test_masked_is_removed_and_the_file_is_the_network(name, granularity, tmp_path):
    result = cut_or_skip(name, granularity)
    assert says_so(result) or difference(result) <= TOLERANCE
    if result.recipe.granularity.removable:
        assert difference_without_statistics(result) <= ROUNDING
    assert lost(result) > 0 or only_zeroed(result) or not result.recipe.granularity.removable
    assert differences_of_files(result, tmp_path) == []


@each_network
@pytest.mark.parametrize("granularity", [Channels(), Heads(), RNNUnits()], ids=lambda each: type(each).__name__)
def test_junk_in_what_reads_pruned_units_changes_nothing(name, granularity):
    model, inputs = open_model(workload(name), CPU), workload(name).test.batch(torch.arange(2), CPU)[0]
    if name in ONLY_FLOAT32:
        pytest.skip("its code does not run in float64")
    check_junk_is_never_read(model, inputs, granularity)


@each_network
def test_the_map_says_what_a_run_measures(name):
    work = workload(name)
    found = pruning.sensitivity(work, levels=(0.5,), half_width=0.0, device="cpu", progress=False).map
    assert found.dense == 1 and all(cell.estimate.samples == SAMPLES for row in found.rows for cell in row.cells)
    row = found.rows[len(found.rows) // 2]
    alone = pruning.prune(
        work, amount=PerLayer({row.name: 0.5}), scope="layer", epochs=0, device="cpu", progress=False
    ).stages["tuned"]
    assert row.cells[0].estimate.score == pytest.approx(alone.validation, abs=1e-6)


@each_network
def test_what_the_report_prints_makes_the_network_again(name, tmp_path):
    result = cut_or_skip(name, natural(name))
    files = written(result, tmp_path, Called("tests.zoo.cuts", "workload", (name,)))
    inputs, _ = result.workload.test.batch(torch.arange(4), CPU)
    with torch.no_grad():
        expected = [result.model(torch.zeros_like(result.workload.example)), result.model(inputs)]
    found = outputs_of(printed(files["report"]), inputs, tmp_path)
    for output, right in zip(found, expected, strict=True):
        assert torch.allclose(output, right, rtol=1e-4, atol=1e-5 * float(right.abs().max()))
