"""Networks that people bring: what of each can be pruned, what is left, and what torch-pruning alone leaves."""

import re
import sys
import warnings
from collections import Counter
from collections.abc import Mapping

import torch
from torch import nn

from benchmarks.report import Report, Target
from benchmarks.torch_pruning_alone import parameters_left
from pruning.errors import PruningError
from pruning.granularities import GRANULARITIES
from pruning.model.layer_table import layer_table
from pruning.model.preparation import open_model
from pruning.reporting.formatting import percent
from pruning.workload import Workload

SHARE = 0.3
TOLERANCE = 1e-5
COLUMNS = {"weights": "weights", "channels": "channels", "heads": "heads", "rnn_units": "hidden units"}

NOT_SAME = "**no**"

Row = dict[str, str | float]


def measure() -> Report:
    """Every network of the zoo: rows of the layer table by granularity, and what 30 % of its natural units leave."""
    # imported when asked for: these need packages that nothing else does
    from tests.zoo.networks import NETWORKS

    rows: list[Row] = []
    for name in NETWORKS:
        print(name, file=sys.stderr, flush=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows.append(_row(name))
    alone = [row["torch-pruning alone"] for row in rows]
    figures = {
        "networks": len(rows),
        "cut by 30 %": sum(row["left"] != "refused" for row in rows),
        "cut by 30 % by torch-pruning alone": sum(str(left).endswith("%") for left in alone),
        "masked is not removed, without a word": sum(row["masked = removed"] == NOT_SAME for row in rows),
    }
    return Report(figures, {"masked is not removed, without a word": Target(at_most=0)}, rows)


def _row(name: str) -> Row:
    from tests.zoo.cuts import CPU, cut, difference, lost, natural, says_so, workload

    work, granularity = workload(name), natural(name)
    model = open_model(work, CPU)
    sorted_out = {kind: _sorted_out(kind, model, work) for kind in COLUMNS}
    matrices = [row for row in layer_table(model, work.example) if row.param and len(row.shape) > 1]
    cells = {
        heading: f"{len(falls)} of {len(matrices)}" if (falls := sorted_out[kind][0]) else ""
        for kind, heading in COLUMNS.items()
    }
    dense = sum(parameter.numel() for parameter in model.parameters())
    alone = parameters_left(model, work.example, SHARE)
    try:
        result = cut(name, granularity, SHARE)
        apart = difference(result)
        left = percent(1 - lost(result), 0)
        same = "yes" if apart <= TOLERANCE else f"no, and says so ({apart:.0e})" if says_so(result) else NOT_SAME
        same = same if result.recipe.granularity.removable else "only set to zero"
    except PruningError:
        left, same = "refused", ""
    return {
        "network": name,
        "parameters": dense,
        **cells,
        "pruned by": COLUMNS[granularity],
        "left": left,
        "torch-pruning alone": percent(alone / dense, 0) if isinstance(alone, int) else f"fails: {alone}",
        "masked = removed": same,
        "most stays because": _most_frequent(sorted_out[granularity][1], model),
    }


def _sorted_out(granularity: str, model: nn.Module, work: Workload) -> tuple[set[str], Mapping[str, str]]:
    """The rows that such units can be pruned in, and of the other rows why not."""
    try:
        with torch.random.fork_rng(devices=[]):
            groups, reasons = GRANULARITIES[granularity]().sorted_out(model, work.example)
    except PruningError as error:
        return set(), {"": str(error)}
    return {member for group in groups for member in group.members}, reasons


def _most_frequent(reasons: Mapping[str, str], model: nn.Module) -> str:
    """The sentence that most rows stay for, without names of layers, and how many rows these are."""
    if not reasons:
        return ""
    names = sorted((name for name, _ in model.named_modules() if re.search(r"[._\d]", name)), key=len, reverse=True)
    layers = re.compile(r"(?<![\w.])(" + "|".join(map(re.escape, names)) + r")(?![\w.]*\w)")
    (sentence, count), *_ = Counter(layers.sub("…", reason) for reason in reasons.values()).most_common(1)
    return f"{sentence} ({count})"
