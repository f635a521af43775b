"""What every criterion owes."""

import dataclasses
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from pruning.api.choices import listed
from pruning.criteria import ANY, CRITERIA, Criterion, LooksAtData, Passes, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.criteria.pass_counter import counted
from pruning.events import Masked
from pruning.granularities import GRANULARITIES, Granularity, Weights
from pruning.model.layer_types import WITH_MATRICES
from pruning.model.preparation import open_model
from pruning.model.units import UnitGroup
from pruning.pipeline.eligibility import scorable_groups
from pruning.recipe.recipe import Recipe
from pruning.run.engine import prune
from pruning.selection.amounts import Sparsity
from pruning.selection.scopes import Global
from pruning.testing.untouched import untouched
from pruning.training.schedules import Linear
from pruning.training.tuning import Tuning
from pruning.workload import Batch, Workload

CPU = torch.device("cpu")


class DescriptionContract:
    """What a criterion says of itself: a page shows it beside the choice."""

    criterion: Criterion

    def test_it_says_its_formula_its_source_and_its_cost(self) -> None:
        made = type(self.criterion)
        for name in ("formula", "source", "cost", "__doc__"):
            assert getattr(made, name), f"{made.__name__}.{name} is empty"

    def test_it_names_the_granularities_and_the_layers_that_it_can_score(self) -> None:
        fits, layers = self.criterion.fits, self.criterion.layers
        unknown = set(fits) - GRANULARITIES.keys()
        assert fits == ANY or (fits and not unknown), f"fits names {sorted(unknown)}: use ANY or names of granularities"
        foreign = [layer for layer in layers if layers != ANY and layer not in WITH_MATRICES]
        assert layers and not foreign, f"layers names {foreign}, which hold no weights: use ANY, or see WITH_MATRICES"

    def test_it_is_a_value_whose_fields_all_have_defaults(self) -> None:
        """A recipe compares criteria and is a key of caches; a page makes one before anything is chosen."""
        made = type(self.criterion)
        assert dataclasses.is_dataclass(self.criterion), f"write @dataclass(frozen=True) above {made.__name__}"
        again = replace(self.criterion)
        assert again == self.criterion and hash(again) == hash(self.criterion)
        assert made() == made()


class ScoringContract:
    """What a criterion does with a network's units.

    `granularity` is the kind of units that are scored; without, the first that the criterion fits.
    """

    criterion: Criterion
    workload: Workload
    granularity: Granularity | None = None

    def test_every_unit_has_one_finite_score(self) -> None:
        model, groups = self._opened()
        scores = self._scores(model, groups)
        assert scores.keys() == {group.name for group in groups}
        for group in groups:
            values = scores[group.name]
            assert values.shape == (group.units,), f"{group.name}: {tuple(values.shape)} scores of {group.units} units"
            assert values.dtype == torch.float32 and bool(values.isfinite().all()), f"{group.name}: {values}"

    def test_the_same_seed_gives_the_same_scores(self) -> None:
        model, groups = self._opened()
        once, again = self._scores(model, groups, seed=3), self._scores(model, groups, seed=3)
        for name, scores in once.items():
            assert torch.equal(scores, again[name]), f"{name}: other scores for the same seed"

    def test_only_training_samples_are_looked_at(self) -> None:
        model, groups = self._opened()
        self._scores(model, groups, work=replace(self.workload, validation=_Hidden(), test=_Hidden()))

    def test_it_knows_beforehand_how_often_it_sends_samples_through_the_network(self) -> None:
        """A page says how long scoring will take, and refuses what would take minutes (`LooksAtData.passes`)."""
        model, groups = self._opened()
        with counted(model) as seen:
            self._scores(model, groups)
        planned = Passes()
        if isinstance(self.criterion, LooksAtData):
            planned = self.criterion.passes(groups, len(self.workload.train))
        for way, said, took in (
            ("forward", planned.forward, seen.forward),
            ("backward", planned.backward, seen.backward),
        ):
            within = 0.75 * said <= took <= 1.25 * said
            assert within, f"{took} samples went {way} and passes() says {said}: declare what it will be"

    def test_a_model_in_evaluation_comes_back_as_it_was(self) -> None:
        model, groups = self._opened()
        with untouched(model.eval()):
            self._scores(model, groups)

    def test_a_model_in_training_with_a_frozen_part_comes_back_as_it_was(self) -> None:
        model, groups = self._opened()
        model.train()
        for part in model.children():
            part.eval()  # the mode of a part that is kept as it was trained
            break
        with untouched(model):
            self._scores(model, groups)

    def test_a_run_in_two_rounds_ends_with_fewer_units_and_none_comes_back(self) -> None:
        granularity = self._granularity()
        cuts = list[Masked]()
        with _in_the_table(self.criterion):
            recipe = Recipe(self.workload.name, self.criterion, granularity, Global("mean"), Sparsity(0.6))
            recipe = replace(recipe, schedule=Linear(2), tuning=Tuning(epochs=0))
            run = prune(self.workload, recipe, CPU)
            while True:
                try:
                    event = next(run)
                except StopIteration as end:
                    result = end.value
                    break
                if isinstance(event, Masked):
                    cuts.append(event)
        first, second = cuts
        assert first.pruned < second.pruned == sum(int((~stays).sum()) for stays in result.keep.values())
        for name, kept in first.kept.items():
            assert second.kept[name] <= kept, f"{name}: units that were pruned in round 1 came back in round 2"
        assert result.stages["tuned"].nonzero < result.stages["dense"].nonzero

    def _granularity(self) -> Granularity:
        if self.granularity is not None:
            return self.granularity
        return Weights() if self.criterion.fits == ANY else GRANULARITIES[self.criterion.fits[0]]()

    def _opened(self) -> tuple[nn.Module, list[UnitGroup]]:
        """The network, and the groups of units that the criterion can score: at least one."""
        model, granularity = open_model(self.workload, CPU), self._granularity()
        with _in_the_table(self.criterion):
            groups, reasons = scorable_groups(self.criterion, granularity, model, self.workload.example)
        assert groups, f"{self.workload.name} has no {granularity.unit} to score: test on another network ({reasons})"
        return model, groups

    def _scores(
        self, model: nn.Module, groups: list[UnitGroup], seed: int = 0, work: Workload | None = None
    ) -> dict[str, Tensor]:
        return unit_scores(self.criterion, model, groups, Calibration(work or self.workload, CPU, seed))


class CriterionContract(DescriptionContract, ScoringContract):
    """All that a criterion owes. Say which `criterion` and which `workload`, and pytest finds the rest.

    A workload of some ten samples whose network has units of the kind is enough.
    """


@contextmanager
def _in_the_table(criterion: Criterion) -> Generator[None]:
    """Enter the class of somebody's own criterion into the table for as long as the block runs."""
    before = dict(CRITERIA)
    listed(criterion)
    try:
        yield
    finally:
        CRITERIA.clear()
        CRITERIA.update(before)


class _Hidden:
    """A split that nobody may look at."""

    def __len__(self) -> int:
        return 1

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Batch:
        raise AssertionError("a criterion looked at the validation or the test split: only training samples are for it")
