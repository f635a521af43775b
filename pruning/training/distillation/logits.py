from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pruning.errors import RecipeError
from pruning.options.constraints import Between, Share, check
from pruning.training.distillation.distillation import DENSE

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.training.loss_terms import LossTerm
    from pruning.workload import Workload


@dataclass(frozen=True)
class Logits:
    """The network learns the teacher's probabilities of all classes, softened by a temperature.

    (Hinton et al. 2015, "Distilling the knowledge in a neural network", arXiv 1503.02531.) Logits lie along dimension 1
    of the outputs, [b, classes, ...].
    """

    temperature: Annotated[float, Between(0.5, 20.0, step=0.5)] = 1.0
    """What logits are divided by: the higher it is, the more the small probabilities count."""
    share: Share = 0.9
    """The share of the teacher in the loss; the rest is the task's own loss."""
    teacher: str = DENSE
    """Who teaches: dense is the network before the run, other names are those of the workload's teachers."""

    formula: ClassVar[str] = "(1 − s) · L + s · T² · KL(softmax(z′ / T) ‖ softmax(z / T))"
    source: ClassVar[str] = "Hinton 2015"
    cost: ClassVar[str] = "a pass of the teacher in each step"

    def __post_init__(self) -> None:
        check(self, "distillation")

    def term(self, workload: Workload, model: nn.Module, teacher: nn.Module) -> LossTerm:
        from pruning.training.distillation.comparing import LearntOutput

        if not workload.task.classes:
            raise RecipeError(
                f"distillation logits compares probabilities of classes, and the task of {workload.name} names none: "
                "choose distillation outputs"
            )
        return LearntOutput(teacher, self._apart, self.share)

    def _apart(self, output: Tensor, wanted: Tensor) -> Tensor:
        """T² times the Kullback-Leibler divergence, the mean over the batch: gradients are then those of T = 1."""
        from torch.nn import functional as F

        found, goal = (F.log_softmax(each.float() / self.temperature, dim=1) for each in (output, wanted))
        divergence = F.kl_div(found, goal, reduction="none", log_target=True).sum(dim=1).mean()
        return self.temperature**2 * divergence
