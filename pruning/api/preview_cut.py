"""pruning.preview: what an amount would prune, and what would be left."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning.api.choices import recipe_of
from pruning.api.extras import extra_packages
from pruning.api.inputs import Data
from pruning.api.score_units import scores, with_or_without_data
from pruning.criteria import Criterion
from pruning.events import PrunedValues
from pruning.granularities import Granularity
from pruning.interactive.responses import LayerView
from pruning.model.descriptions import Costs
from pruning.model.devices import default_device
from pruning.model.units import Keep, Masks
from pruning.recipe.recipe import Recipe
from pruning.reporting.formatting import count, percent, relative, si
from pruning.reporting.run_summary import share_of_all
from pruning.selection.amounts import Amount
from pruning.selection.scopes import Scope
from pruning.workload import Task, Workload

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Preview:
    """What an amount prunes, before any fine-tuning; it draws itself in a notebook.

    Attributes:
        recipe: The choices that it follows.
        layers: Every layer's histogram of importance, with the cuts.
        keep: Unit group -> bool [units], True where the unit stays.
        masks: Parameter -> bool of its shape, True where the value stays; parameters not named are whole.
        dense: Costs of the network as it is.
        units: How many units compete.
        pruned: How many of them are pruned.
        parameters: Parameters that are left after removal, where units can be removed.
        nonzero: Parameters that are not zero then.
        bytes: Length of the .safetensors file then.
        macs: Multiply-accumulates for one sample then.
        values: How many values of the parameters are pruned, how many compete, and how many there are.
        zeroed: A sentence about the groups whose units cannot be removed where others can; empty if all can.
    """

    recipe: Recipe
    layers: tuple[LayerView, ...]
    keep: Keep
    masks: Masks
    dense: Costs
    units: int
    pruned: int
    parameters: int
    nonzero: int
    bytes: int
    macs: int
    values: PrunedValues
    zeroed: str = ""

    @property
    def kept(self) -> Mapping[str, float]:
        """Unit group -> the share of its units that stays, in [0, 1]."""
        return {name: float(stays.double().mean()) for name, stays in self.keep.items()}

    def table(self) -> "pd.DataFrame":
        """A row for each layer that can be pruned: its units, how many are pruned, and the share that stays."""
        with extra_packages():
            import pandas as pd

        rows = {
            view.name: {
                "units": view.units,
                "pruned": view.pruned_units,
                "kept": 1 - view.pruned_units / view.units if view.units else 1.0,
            }
            for view in self.layers
            if not view.why_not
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")

    def __repr__(self) -> str:
        shares = [f"  {name}: {percent(share)} kept" for name, share in self.kept.items()]
        return "\n".join([self._headline(), *([self.zeroed] if self.zeroed else []), *shares])

    def _repr_html_(self) -> str:
        with extra_packages():
            from pruning.reporting.pictures import layers_html

        zeroed = f"<p>{escape(self.zeroed)}</p>" if self.zeroed else ""
        return f"<p>{escape(self._headline())}</p>{zeroed}{layers_html(self.layers)}"

    def _headline(self) -> str:
        dense = self.dense
        return (
            f"{count(self.pruned)} of {count(self.units)} {self.recipe.granularity.unit} are pruned"
            f"{share_of_all(self.values)}; "
            f"parameters {count(dense.parameters)} → {count(self.parameters)}, "
            f"non-zeros {count(dense.nonzero)} → {count(self.nonzero)}, "
            f"file {si(dense.bytes, 'B')} → {si(self.bytes, 'B')} ({relative(dense.bytes, self.bytes)}), "
            f"MACs {si(dense.macs)} → {si(self.macs)}"
        )


def preview(
    model: nn.Module | Workload,
    data: Data | None = None,
    *,
    sparsity: float | None = None,
    criterion: str | Criterion | None = None,
    granularity: str | Granularity | None = None,
    scope: str | Scope | None = None,
    amount: Amount | None = None,
    keep_whole: Collection[str] | None = None,
    seed: int | None = None,
    recipe: Recipe | None = None,
    task: Task | None = None,
    example: Tensor | None = None,
    device: str | torch.device | None = None,
) -> Preview:
    """What would be pruned, and what would be left: the first cut of `prune`, without training.

    Args:
        model: A trained module, or a Workload.
        data: Samples with their targets, as for `prune`: only where the criterion looks at data.
        sparsity: Share of units that is pruned, in [0, 1].
        criterion: As for `prune`.
        granularity: As for `prune`.
        scope: As for `prune`.
        amount: As for `prune`.
        keep_whole: As for `prune`.
        seed: Draws the samples that the criterion looks at.
        recipe: All of the choices above.
        task: Loss and score of the model; classification if it is left out.
        example: One input [1, *input], for a model without data whose first layer is not Linear.
        device: Where to compute; the accelerator if there is one.

    Returns:
        Sizes before and after, the share that each layer keeps, masks, and histograms with the cut.

    Raises:
        RecipeError: A choice does not exist or does not fit the others; the sentence says what to choose.
        WorkloadError: The model cannot be used, or the criterion looks at data and there is none.

    Examples:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
        >>> cut = preview(net, sparsity=0.75)
        >>> cut.pruned, cut.units, cut.nonzero
        (60, 80, 32)
        >>> {name: tuple(mask.shape) for name, mask in cut.masks.items()}
        {'0.weight': (8, 6), '2.weight': (4, 8)}

    Source:
        Each criterion names its own: `python -m pruning choices`.
    """
    workload = with_or_without_data(model, data, task, example)
    asked = recipe_of(
        workload.name,
        recipe=recipe,
        sparsity=sparsity,
        amount=amount,
        criterion=criterion,
        granularity=granularity,
        scope=scope,
        keep_whole=keep_whole,
        seed=seed,
    )
    asked = replace(asked, workload=workload.name)
    if isinstance(model, nn.Module) and data is None:
        # asked for its scores first: a criterion that looks at data says that there is none
        scores(model, criterion=asked.criterion, granularity=asked.granularity, example=workload.example, device=device)
    with extra_packages():  # what a slider asks is kept by cachetools
        from pruning.interactive.queries import look
        from pruning.interactive.session import PreviewSession

    session = PreviewSession(
        {workload.name: lambda: workload}, default_device() if device is None else torch.device(device)
    )
    seen = look(session, asked, "score")
    decision = session.decision(asked)
    opened = session.opened(workload.name)
    return Preview(
        recipe=asked,
        layers=seen.layers,
        keep=decision.keep,
        masks=decision.masks,
        dense=opened.view.costs,
        units=seen.units,
        pruned=seen.pruned,
        parameters=seen.parameters,
        nonzero=seen.nonzero,
        bytes=seen.bytes,
        macs=seen.macs,
        values=seen.values,
        zeroed=seen.zeroed,
    )
