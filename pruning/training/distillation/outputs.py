from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.options.constraints import Share, check
from pruning.training.distillation.distillation import DENSE

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.training.loss_terms import LossTerm
    from pruning.workload import Workload


@dataclass(frozen=True)
class Outputs:
    """The network learns the teacher's outputs as they are, whatever they mean: for tasks without classes too.

    (Ba and Caruana 2014, "Do deep nets really need to be deep?", arXiv 1312.6184.)
    """

    share: Share = 0.5
    """The share of the teacher in the loss; the rest is the task's own loss."""
    teacher: str = DENSE
    """Who teaches: dense is the network before the run, other names are those of the workload's teachers."""

    formula: ClassVar[str] = "(1 − s) · L + s · mean (z − z′)² / var z′"
    source: ClassVar[str] = "Ba and Caruana 2014"
    cost: ClassVar[str] = "a pass of the teacher in each step"

    def __post_init__(self) -> None:
        check(self, "distillation")

    def term(self, workload: Workload, model: nn.Module, teacher: nn.Module) -> LossTerm:
        from pruning.training.distillation.comparing import LearntOutput

        return LearntOutput(teacher, _apart, self.share)


def _apart(output: Tensor, wanted: Tensor) -> Tensor:
    """The mean square of the difference, as a share of the variance of what is wanted."""
    wanted = wanted.float()
    return (output.float() - wanted).square().mean() / wanted.var().clamp(min=1e-12)
