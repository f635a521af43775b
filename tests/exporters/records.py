"""A finished run to export, put together by hand: nothing is trained."""

from dataclasses import replace
from typing import Any

import torch

from pruning.evaluation.stages import measure_stage
from pruning.events import Event, Finished, Masked, Measured, StageMeasured, Started, TuningStep, Verified, Warned
from pruning.exporters import Record
from pruning.model.module_sizes import sizes_between
from pruning.model.preparation import open_model
from pruning.model.surgery import remove_units
from pruning.recipe.recipe import from_json
from tests.networks import tiny
from tests.own_workload import recipe_text


def record(verified: Verified | None = None, channels: bool = False, **workload_changes: Any) -> Record:
    """Of the tiny convolutional network; with `channels` two of the first layer's four are gone."""
    workload = replace(tiny("conv"), **workload_changes)
    kind = "channels" if channels else "weights"
    recipe = from_json(recipe_text(workload=workload.name, granularity={"kind": kind}))
    whole = model = open_model(workload, torch.device("cpu"))
    dense = measure_stage(model, workload, torch.device("cpu"))
    groups = recipe.granularity.sorted_out(model, workload.example)[0]
    if channels:
        keep = {group.name: torch.arange(group.units) > 1 for group in groups[:1]}
        model = remove_units(model, workload.example, groups[:1], keep)
    events: list[Event] = [
        Started(workload.name, "cpu", 2, 12, workload.task.classes),
        StageMeasured("dense", dense),
        StageMeasured("pruned", replace(dense, score=0.25)),
        Masked(0, 1.0, 100, 90, 300, {group.name: 0.7 for group in groups}),
        Warned("90 were pruned and 100 were asked for"),
        Measured(0, 0, "validation", 0.5, 0.3),
        TuningStep(0, 0, 1, 1.5),
        Measured(0, 6, "validation", 0.75, 0.3),
        StageMeasured("tuned", replace(dense, class_scores=(0.0, 1.0, 1.0))),
        *([verified] if verified else []),
        Finished(False, 3.0),
    ]
    return Record(workload, recipe, model, "cpu (x86_64)", tuple(events), sizes_between(whole, model), workload)
