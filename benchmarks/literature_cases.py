"""What `benchmarks.literature` compares with published results: networks, compressions and the recipes for them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pruning.criteria import Magnitude
from pruning.granularities import Channels, Weights
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import PerLayer, Sparsity
from pruning.selection.scopes import Global
from pruning.training.schedules import PolynomialDecay
from pruning.training.tuning import Tuning

IMAGES = 55_000
"""Training images; the other 5 000 of MNIST's are for validation."""


@dataclass(frozen=True)
class Case:
    """A network at a compression: weights of the dense network over weights that are not zero, biases not counted.

    Attributes:
        network: The workload's name, by which published results are found.
        module: The network's class in examples/mnist_lenet.py.
        weights: Weights of the dense network.
        compression: How many times fewer weights are left.
        at_most: The test error to reach, in percent.
        recipes: Carried out one after the other, each on the network that the one before has left.
    """

    network: str
    module: str
    weights: int
    compression: float
    at_most: float
    recipes: tuple[Recipe, ...]

    def seeded(self, seed: int) -> tuple[Recipe, ...]:
        """The recipes with a seed."""
        return tuple(replace(recipe, seed=seed) for recipe in self.recipes)


def _steps(epochs: int, batch: int) -> int:
    return epochs * -(-IMAGES // batch)


def _in_one_training(network: str, weights: int, left: int, epochs: int, batch: int, rate: float) -> Recipe:
    """Single weights by magnitude, on a cubic curve from the first twentieth of one training on to 60 % of it.

    SGD and not AdamW, which lets weights of pixels that are seldom seen grow as large as all others: magnitude then
    says little.
    """
    steps = _steps(epochs, batch)
    tuning = Tuning(epochs, "sgd", rate, batch, IMAGES, curve="cosine", warm_up=0.05, average=0.999)
    schedule = PolynomialDecay(0.0, steps // 20, round(0.6 * steps), frequency=200)
    return Recipe(network, Magnitude(), Weights(), Global(), Sparsity(1 - left / weights), schedule, tuning)


def _mlp(compression: float, at_most: float, epochs: int) -> Case:
    name, weights = "mnist_lenet_300_100", 266_200
    recipe = _in_one_training(name, weights, round(weights / compression), epochs, 256, 0.5)
    return Case(name, "LeNet300100", weights, compression, at_most, (recipe,))


FEWER: Mapping[str, float] = {"conv1": 0.5, "conv2": 0.5, "fc1": 0.84}
"""Channels of LeNet-5 that go first, a share of each layer: 10, 25 and 80 are left, with 39 300 weights."""


def _convolutional(compression: float, at_most: float, epochs: int) -> Case:
    """Channels first, in two epochs: what is trained after that is a quarter of the work for as good a network."""
    name, weights, narrow = "mnist_lenet_5", 430_500, 39_300
    steps = _steps(2, 128)
    narrowed = Recipe(
        name,
        Magnitude(),
        Channels(),
        Global(),
        PerLayer(FEWER),
        PolynomialDecay(0.0, steps // 2, round(0.7 * steps), frequency=50),
        Tuning(2, "sgd", 0.05, 128, IMAGES, curve="cosine", warm_up=0.05),
    )
    recipe = _in_one_training(name, narrow, round(weights / compression), epochs, 128, 0.1)
    return Case(name, "LeNet5", weights, compression, at_most, (narrowed, recipe))


CASES = (
    _mlp(12, 1.40, epochs=30),
    _mlp(56, 1.70, epochs=50),
    _mlp(68, 1.80, epochs=50),
    _mlp(100, 2.10, epochs=80),
    _convolutional(108, 0.75, epochs=20),
    _convolutional(280, 0.80, epochs=20),
)
