"""A recipe: every choice of a run as one frozen value that becomes JSON and back. Its hash names the run."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Annotated, Any

from pruning.criteria import Criterion, Magnitude
from pruning.errors import RecipeError
from pruning.granularities import Granularity, Weights
from pruning.options.constraints import Between, Later, check
from pruning.recipe.compatibility import (
    incompatibility,
    never_acts,
    no_exchange,
    no_rewind,
    untimely_patience,
    wrong_value,
)
from pruning.recipe.serialization import from_plain, require_text, short, to_plain
from pruning.repair import NoRepair, Repair
from pruning.selection.amounts import Amount, PerLayer, Sparsity
from pruning.selection.scopes import Global, Scope
from pruning.training.distillation import Distillation, NoDistillation
from pruning.training.regularisers import NoRegulariser, Regulariser
from pruning.training.rewinds import NoRewind, Rewind
from pruning.training.schedules import OneShot, Schedule
from pruning.training.starts import Start, Trained
from pruning.training.tuning import Tuning

VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """What to prune, how, and how to fine-tune it. Field names are the same in JSON, on the page and in the CLI.

    Attributes:
        workload: The name of the model with its data.
        criterion: What says how important a unit is.
        granularity: What a unit is.
        scope: Which units compete.
        amount: How much is pruned.
        schedule: In how many rounds.
        tuning: How the network is fine-tuned after each round.
        keep_whole: Names of layers that lose nothing, in any collection; kept as a set.
        seed: Decides every random choice, from 0.
        repair: How the network is put right after each cut, without training.
        distillation: What the network learns from a teacher while it is tuned.
        start: Whether the network is pruned as it was trained, or trained from scratch first.
        rewind: With which values the weights go on that a cut leaves.
        regulariser: What pushes units to zero while the network is trained.

    Raises:
        RecipeError: A value is out of its range, or two choices do not go together.

    Examples:
        >>> recipe = Recipe("fashion_cnn", amount=Sparsity(0.8), keep_whole=("conv1",))
        >>> from_json(to_json(recipe)) == recipe
        True
    """

    workload: str
    criterion: Criterion = field(default_factory=Magnitude)
    granularity: Granularity = field(default_factory=Weights)
    scope: Scope = field(default_factory=Global)
    amount: Amount = field(default_factory=Sparsity)
    schedule: Schedule = field(default_factory=OneShot)
    tuning: Tuning = field(default_factory=Tuning)
    keep_whole: frozenset[str] = frozenset()
    seed: Annotated[int, Between(0, 2**31 - 1)] = 0
    repair: Annotated[Repair, Later()] = field(default_factory=NoRepair)
    distillation: Annotated[Distillation, Later()] = field(default_factory=NoDistillation)
    start: Annotated[Start, Later()] = field(default_factory=Trained)
    rewind: Annotated[Rewind, Later()] = field(default_factory=NoRewind)
    regulariser: Annotated[Regulariser, Later()] = field(default_factory=NoRegulariser)

    def __post_init__(self) -> None:
        if isinstance(self.keep_whole, str):
            raise RecipeError(f"keep_whole is {short(self.keep_whole)}; it is a set of layer names")
        object.__setattr__(self, "keep_whole", frozenset(self.keep_whole))
        if sentence := wrong_value(self):
            raise RecipeError(sentence)
        check(self)  # a row of a table need not remember to
        if sentence := incompatibility(self.criterion, self.granularity, self.scope, self.amount):
            raise RecipeError(sentence)
        if sentence := (
            untimely_patience(self.schedule, self.tuning)
            or never_acts(self.regulariser, self.tuning)
            or no_exchange(self.schedule, self.granularity, self.scope)
            or no_rewind(self.rewind, self.start, self.schedule, self.repair, self.tuning)
        ):
            raise RecipeError(sentence)
        if isinstance(self.amount, PerLayer) and (both := set(self.amount.shares) & self.keep_whole):
            raise RecipeError(f"{min(both)} is in keep_whole and in amount.shares; take it out of one of them")

    @property
    def name(self) -> str:
        """The first eight hex digits of the SHA-256 of the recipe's JSON."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()[:8]


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """JSON-able dict with `version` first, then the fields in their order.

    A recipe without a repair says nothing of it: its JSON and its name are what they were before there were any. So it
    is with every field that came later.
    """
    return {"version": VERSION, **to_plain(recipe)}


def to_json(recipe: Recipe) -> str:
    """One line of JSON, the same for equal recipes."""
    return json.dumps(to_dict(recipe), allow_nan=False)


def from_json(text: str) -> Recipe:
    """The recipe that the JSON describes. RecipeError names the bad field, its value and the allowed ones."""
    try:
        values = json.loads(text)  # and not msgspec, whose errors tell no line
        require_text(values, "recipe")
    except json.JSONDecodeError as error:
        raise RecipeError(f"the recipe is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, brackets nested thousands deep
        raise RecipeError("the recipe holds a number too long or brackets too deep to be one; write it anew") from None
    return from_dict(values)


def from_dict(values: Any) -> Recipe:
    """As `from_json`, from what a JSON reader returns. Keys that start with // are comments."""
    if not isinstance(values, dict):
        raise RecipeError(f"a recipe is a JSON object, not {'null' if values is None else short(values)}")
    given: dict[str, Any] = dict(values)  # type: ignore[arg-type]
    version: object = given.pop("version", None)
    if version != VERSION or isinstance(version, bool):
        raise RecipeError(
            f"version is {short(version)}; this program reads recipes of version {VERSION}: "
            "`python -m pruning recipe MODEL` writes one"
        )
    return from_plain(Recipe, given)
