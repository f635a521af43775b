"""`inspect`: the layer table, with why a layer cannot be pruned."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from rich.console import Console
from torch import nn

from pruning.cli.console import for_terminal, table
from pruning.errors import SurgeryError
from pruning.events import PrunedValues
from pruning.granularities import Channels
from pruning.model.costs import costs
from pruning.model.descriptions import LayerRow
from pruning.model.layer_table import layer_table, prunable_weights
from pruning.model.preparation import open_model
from pruning.model.units import UnitGroup, group_of
from pruning.reporting.formatting import count, percent, si
from pruning.reporting.run_summary import leaves_out
from pruning.workload import Workload


@dataclass(frozen=True)
class InspectedRow(LayerRow):
    """A layer, the channels of it that may be pruned, and if there are none, why: it follows another or feeds the
    output.
    """

    channels: int = 0
    why_no_channels: str = ""


def inspect(workload: Workload, as_json: bool) -> None:
    model = open_model(workload, torch.device("cpu"))
    rows = layer_rows(model, workload)
    cost = costs(model, workload.example)
    if as_json:
        print(
            json.dumps(
                {"model": workload.name, "data": workload.data, **asdict(cost), "layers": [asdict(r) for r in rows]}
            )
        )
        return
    console = Console()
    made = table("layer", "type", "shape", "parameters", "MACs", "weights", "channels", left=3)
    for row in rows:
        shape = " x ".join(map(str, row.shape))
        weights = "no" if row.why_not else "yes"
        macs = "" if row.macs is None else si(row.macs)
        channels = count(row.channels) if row.channels else "no"
        made.add_row(row.name, row.type, shape, count(row.parameters), macs, weights, channels)
    console.print(made)
    for row in rows:
        if reason := row.why_not or row.why_no_channels:
            console.print(for_terminal(f"{row.name}: {reason}"), markup=False, highlight=False, soft_wrap=True)
    sizes = f"{si(cost.bytes, 'B')}, gzipped {si(cost.gzip_bytes, 'B')}"
    total = f"{workload.name}: {count(cost.parameters)} parameters, {si(cost.macs)} MACs, {sizes}"
    console.print(total, markup=False, highlight=False, soft_wrap=True)
    if leaves_out(values := prunable_values(model)):
        of_all = f"{si(values.prunable)} of {si(values.total)} parameters ({percent(values.prunable / values.total)})"
        console.print(f"granularity weights can prune {of_all}", markup=False, highlight=False, soft_wrap=True)


def prunable_values(model: nn.Module) -> PrunedValues:
    """How much of the network granularity weights can prune, before any is pruned."""
    prunable = sum(model.get_parameter(weight.param).numel() for weight in prunable_weights(model))
    return PrunedValues(0, prunable, sum(parameter.numel() for parameter in model.parameters()))


def layer_rows(model: nn.Module, workload: Workload) -> list[InspectedRow]:
    """The layer table with what may be pruned in each layer."""
    layers = layer_table(model, workload.example)
    try:
        groups, reasons = Channels().sorted_out(model, workload.example)
    except SurgeryError as error:
        groups, reasons = [], dict.fromkeys((layer.name for layer in layers), str(error))
    return [_row(layer, groups, reasons) for layer in layers]


def _row(layer: LayerRow, groups: Sequence[UnitGroup], reasons: Mapping[str, str]) -> InspectedRow:
    group = group_of(groups, layer.name)
    if group is not None and group.name == layer.name:
        return InspectedRow(**vars(layer), channels=group.units)
    if group is not None:
        return InspectedRow(
            **vars(layer), why_no_channels=f"its channels are pruned together with those of {group.name}"
        )
    return InspectedRow(**vars(layer), why_no_channels=layer.why_not or reasons.get(layer.name, ""))
