from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pruning.calibration import Calibration, captured_inputs
from pruning.units import UnitGroup


@dataclass(frozen=True)
class Activation:
    """Mean |a| of what the next layers receive from the unit, after norm, activation and pooling.

    (Polyak and Wolf 2015, "Channel-level acceleration of deep face representations"; Molchanov 2017, arXiv 1611.06440,
    section 2.2.) Scores [units]. A unit that several layers read is scored by the mean over them.
    """

    formula: ClassVar[str] = "mean |a|"
    source: ClassVar[str] = "Polyak 2015, Molchanov 2017"
    cost: ClassVar[str] = "one forward pass over 1024 training samples"
    fits: ClassVar[tuple[str, ...]] = ("channels",)

    @torch.no_grad()
    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        readers = sorted({reader for group in groups for reader, _ in _reads(group)})
        sums: dict[str, Tensor] = {}
        samples = 0
        with captured_inputs(model, readers) as seen:
            for inputs, _ in calibration.batches():
                model(inputs)
                samples += len(inputs)
                for reader in readers:
                    per_feature = _per_feature(model.get_submodule(reader), seen[reader]) * len(inputs)
                    sums[reader] = sums[reader] + per_feature if reader in sums else per_feature
        means = {reader: total / samples for reader, total in sums.items()}
        scores: dict[str, Tensor] = {}
        for group in groups:
            parts = [means[reader][index.to(calibration.device)].mean(dim=1) for reader, index in _reads(group)]
            scores[group.name] = torch.stack(parts).mean(dim=0)
        return scores


def _reads(group: UnitGroup) -> list[tuple[str, Tensor]]:
    """The layers that read the group's units, each with the input features of every unit [units, width]."""
    return [(s.param.removesuffix(".weight"), s.index) for s in group.slices if s.dim == 1]


def _per_feature(module: nn.Module, inputs: Tensor) -> Tensor:
    """Mean |a| of each input feature: channels of a convolution (dimension 1), features of a Linear (last)."""
    features_last = inputs.abs().float() if isinstance(module, nn.Linear) else inputs.abs().float().movedim(1, -1)
    return features_last.flatten(0, -2).mean(dim=0)
