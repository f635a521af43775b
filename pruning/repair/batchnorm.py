from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pruning.model.passes import Passes
from pruning.options.constraints import Between, check

if TYPE_CHECKING:
    from torch import Tensor

    from pruning.repair.repair import Cut


@dataclass(frozen=True)
class BatchNorm:
    """The running means and variances of BatchNorm are measured again, on what it sees in the cut network.

    (Li et al. 2020, "EagleEye", arXiv 2007.02491.) A network without BatchNorm stays as it is.
    """

    samples: Annotated[int, Between(8, 65536)] = 1024
    """Training inputs looked at, without their labels; fewer where they would not fit into a gigabyte."""

    formula: ClassVar[str] = "μ, σ² ← mean and variance of what the norm sees now"
    source: ClassVar[str] = "Li 2020 (EagleEye)"
    cost: ClassVar[str] = "a pass of the cut network"

    def __post_init__(self) -> None:
        check(self, "repair")

    def passes(self, train_samples: int) -> Passes:
        return Passes(min(self.samples, train_samples))

    def mend(self, cut: Cut, inputs: Tensor, seed: int) -> Mapping[str, str]:
        import torch

        from pruning.model.layer_types import BATCHNORMS, is_a
        from pruning.model.patching import own_modes_restored
        from pruning.repair.layer_by_layer import BATCH
        from pruning.sliced_work import rest

        norms: list[Any] = [
            module
            for module in cut.model.modules()
            if is_a(module, BATCHNORMS) and getattr(module, "running_mean", None) is not None
        ]
        momenta = [norm.momentum for norm in norms]
        with own_modes_restored(cut.model), torch.no_grad():
            cut.model.eval()
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # the mean of all batches
                norm.train()
            if norms:
                for batch in inputs.split(BATCH):
                    if len(batch) > 1:  # of one value there is no variance
                        cut.model(batch)
                    rest()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        return {} if norms else {"": "it has no BatchNorm with running statistics: nothing is measured again"}
