"""What every distillation is: what a network that is tuned learns from another one, beside its task."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import nn

    from pruning.training.loss_terms import LossTerm
    from pruning.workload import Workload

DENSE = "dense"
"""The teacher that every run has: the network before the run."""


class Distillation(Protocol):
    """Says what the network that is tuned (the student) and its teacher are compared by.

    `formula`, `source` and `cost` are shown beside the choice; L is the task's loss. `teacher` is `dense`, or a name of
    the workload's teachers.
    """

    formula: ClassVar[str]
    source: ClassVar[str]
    cost: ClassVar[str]

    @property
    def teacher(self) -> str: ...

    def term(self, workload: Workload, model: nn.Module, teacher: nn.Module) -> LossTerm | None:
        """What is added to the task's loss.

        Args:
            workload: Has the task, and an example to run the networks on.
            model: The student. It is not changed.
            teacher: In evaluation mode, on the same device; it may be the student's class or another one.

        Returns:
            None where nothing is learnt from the teacher.

        Raises:
            RecipeError: The two networks or the task have nothing that could be compared; the sentence says what to
                choose.
        """
        ...
