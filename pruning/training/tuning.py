"""How a network is fine-tuned: what a person chooses. No torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pruning.errors import RecipeError
from pruning.options.constraints import Between, Later, check


@dataclass(frozen=True)
class Tuning:
    """How the network is healed after each round. The learning rate follows one curve over the epochs of a round."""

    epochs: Annotated[int, Between(0, 1_000_000)] = 2
    """Passes over the training images after each round; 0 leaves the network as cut."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """adamw (Loshchilov and Hutter 2019), or sgd with Nesterov's momentum."""
    learning_rate: Annotated[float, Between(0.0, 10.0, step=0.0005, above=True)] = 0.003
    """The top of the learning rate's curve."""
    batch_size: Annotated[int, Between(2, 1_000_000)] = 128
    """Images in one step."""
    images_per_epoch: Annotated[int, Between(2, 1_000_000_000, step=1000, empty="all")] | None = None
    """A random part of the training images for each epoch, for a quick answer. Left empty, or null in JSON: all."""
    curve: Annotated[Literal["one_cycle", "cosine", "linear", "constant"], Later()] = "one_cycle"
    """How the learning rate falls after its rise: one_cycle along half a cosine to almost nothing, momentum going the
    other way (Smith and Topin 2018, arXiv 1708.07120); cosine (Loshchilov and Hutter 2017, arXiv 1608.03983) and linear
    to 0; constant not at all.
    """
    warm_up: Annotated[float, Between(0.0, 0.9, step=0.01), Later()] = 0.2
    """The share of the steps in which the learning rate rises to its top, before it falls."""
    weight_decay: Annotated[Annotated[float, Between(0.0, 1.0, empty="by optimiser")] | None, Later()] = None
    """How much all weights shrink in each step, times the learning rate. Left empty, or null in JSON: 0.0001 for adamw,
    0 for sgd.
    """
    momentum: Annotated[Annotated[float, Between(0.0, 0.999, empty="by curve")] | None, Later()] = None
    """The momentum of sgd, the beta 1 of adamw. Left empty, or null in JSON: 0.9; with one_cycle 0.95 at the lowest
    learning rate and 0.85 at its top.
    """
    average: Annotated[float, Between(0.0, 0.99999), Later()] = 0.0
    """The decay of an exponential moving average of the weights since the cut, such as 0.999 (Polyak and Juditsky
    1992): it is validated and kept in place of the weights. It follows faster at first; 0 takes none.
    """
    label_smoothing: Annotated[float, Between(0.0, 0.5, step=0.01), Later()] = 0.0
    """The share of each target that is spread evenly over all classes (Szegedy et al. 2016, arXiv 1512.00567). For
    tasks whose loss is cross entropy; 0 spreads none.
    """
    mixup: Annotated[float, Between(0.0, 2.0, step=0.05), Later()] = 0.0
    """Images and targets are mixed in pairs, in shares drawn from a Beta distribution with this number for both of its
    parameters, such as 0.2 (Zhang et al. 2018, arXiv 1710.09412). For tasks whose loss is cross entropy; 0 mixes none.
    """
    patience: Annotated[Annotated[int, Between(1, 1_000_000, empty="no limit")] | None, Later()] = None
    """After so many epochs without a better validation score a round's training ends, and in any case its best weights
    are kept (early stopping; Prechelt 1998). Left empty, or null in JSON: all epochs are trained, and the last weights
    kept.
    """

    def __post_init__(self) -> None:
        check(self, "tuning")
        if self.images_per_epoch is not None and self.images_per_epoch < self.batch_size:
            raise RecipeError(
                f"tuning.images_per_epoch is {self.images_per_epoch}; it is at least the batch size, {self.batch_size}"
            )
