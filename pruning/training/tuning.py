"""How a network is fine-tuned: what a person chooses. No torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pruning.errors import RecipeError
from pruning.options.constraints import Between, check


@dataclass(frozen=True)
class Tuning:
    """How the network is healed after each round. The learning rate follows one cycle over the epochs of a round.

    (Smith and Topin 2018, arXiv 1708.07120.)
    """

    epochs: Annotated[int, Between(0, 1_000_000)] = 2
    """Passes over the training images after each round; 0 leaves the network as cut."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """adamw, or sgd with momentum 0.9 (Nesterov)."""
    learning_rate: Annotated[float, Between(0.0, 10.0, step=0.0005, above=True)] = 0.003
    """The top of the cycle."""
    batch_size: Annotated[int, Between(2, 1_000_000)] = 128
    """Images in one step."""
    images_per_epoch: Annotated[int, Between(2, 1_000_000_000, step=1000)] | None = None
    """A random part of the training images for each epoch, for a quick answer. Left empty, or null in JSON: all."""

    def __post_init__(self) -> None:
        check(self, "tuning")
        if self.images_per_epoch is not None and self.images_per_epoch < self.batch_size:
            raise RecipeError(
                f"tuning.images_per_epoch is {self.images_per_epoch}; it is at least the batch size, {self.batch_size}"
            )
