"""Learning from a teacher while a network is tuned: a method a file, one table."""

from pruning.training.distillation.distillation import Distillation
from pruning.training.distillation.features import Features
from pruning.training.distillation.logits import Logits
from pruning.training.distillation.none import NoDistillation
from pruning.training.distillation.outputs import Outputs

DISTILLATIONS: dict[str, type[Distillation]] = {
    "none": NoDistillation,
    "logits": Logits,
    "outputs": Outputs,
    "features": Features,
}
"""Kind -> class; the order in which they are offered."""
