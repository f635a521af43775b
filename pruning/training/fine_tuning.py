"""What happens between rounds: a training loop that keeps pruned values at zero and data on the device."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning.model.devices import drawn_by, mixed_precision
from pruning.model.narrow_convolutions import right_gradients
from pruning.model.patching import training, training_tried
from pruning.model.units import Masks
from pruning.training.kept_weights import KeptWeights
from pruning.training.loss_terms import LossTerm
from pruning.training.objective import total_loss
from pruning.training.optimisers import learning_rate_of, optimiser_of
from pruning.training.tuning import Tuning
from pruning.workload import Batch, Split, Workload, shuffled

WHOLE_NUMBERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The whole numbers of so many bytes."""


@dataclass(frozen=True)
class Step:
    """One optimiser step: epoch from 0, step from 0 of `steps` in the whole of the tuning, and the batch's loss.

    The loss is the task's with all that is added to it.
    """

    epoch: int
    step: int
    steps: int
    loss: float


def steps_per_epoch(tuning: Tuning, split: Split) -> int:
    """Optimiser steps in one epoch; a last batch of one sample is left out."""
    full, rest = divmod(min(tuning.images_per_epoch or len(split), len(split)), tuning.batch_size)
    return max(full + (rest > 1), 1)


class Training:
    """One curve of the learning rate over `total` optimiser steps, taken part by part with the masks of each part.

    The model is trained in place. Between parts it may be scored and cut further; its optimiser goes on as it was.
    `terms` are added to the task's loss. `kept` says which weights are validated, and is settled after each part.

    Nothing is compiled: on a CPU `torch.compile` takes 50 s for the sample CNN, whose steps then take three times as
    long (its max pooling), and a training of a page lasts a minute.
    """

    def __init__(
        self,
        model: nn.Module,
        workload: Workload,
        tuning: Tuning,
        total: int,
        device: torch.device,
        seed: int,
        terms: Sequence[LossTerm] = (),
    ) -> None:
        self.model, self.workload, self.tuning, self.device, self.seed = model, workload, tuning, device, seed
        self.terms = self._unfinished = tuple(terms)
        self.total, self.done = total, 0
        self.per_epoch = steps_per_epoch(tuning, workload.train)
        self.kept = KeptWeights(model, tuning.average, tuning.patience)
        self._optimiser = optimiser_of(tuning, model)
        self._learning_rate = learning_rate_of(tuning, self._optimiser, total)
        self._generator = torch.Generator().manual_seed(seed)
        self._epoch_began = self._generator.get_state()
        self._batches: Iterator[Batch] = iter(())
        self._mixed: bool | None = None  # not known before the first step
        self._behind = 0  # batches of the epoch that were trained on before the training was taken up again

    def steps(self, count: int, masks: Masks, every: int = 20) -> Generator[Step]:
        """Take `count` steps; yield every `every`th of the training, the last of each epoch and the last of these.

        Masks are applied again after every optimiser step. Reading a loss waits for the device, hence `every`.
        """
        remask = masker(self.model, masks, self.device)
        if count:
            self.kept.begin()
        with training(self.model), right_gradients(self.model):
            yield from self._steps(count, remask, every)

    @contextmanager
    def judged(self) -> Generator[None]:
        """In the block the model computes as it will once the training is over."""
        with ExitStack() as around:
            for term in self.terms:
                around.enter_context(term.judged(self.model))
            yield

    def finish(self) -> None:
        """Leave in the model what the terms have learnt, when the training is over. The second time it does nothing."""
        terms, self._unfinished = self._unfinished, ()
        for term in terms:
            term.finish(self.model)

    def forget(self, places: Masks) -> None:
        """Let weights begin anew where `places` is True: what the optimiser has gathered of them becomes 0."""
        for name, here in places.items():
            for gathered in self._optimiser.state[self.model.get_parameter(name)].values():
                if isinstance(gathered, Tensor) and gathered.shape == here.shape:
                    gathered.masked_fill_(here.to(gathered.device), 0.0)

    def state(self) -> dict[str, Any]:
        """All that the next steps depend on besides the model, as plain values and tensors: not copies."""
        between_epochs = self.done % self.per_epoch == 0
        return {
            "done": self.done,
            "optimiser": self._optimiser.state_dict(),
            "learning_rate": self._learning_rate.state_dict(),
            "generator": self._generator.get_state() if between_epochs else self._epoch_began,
            "terms": [dict(term.state()) for term in self.terms],
            "kept": self.kept.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where a training of the same model stood when it gave this `state`."""
        self.done = state["done"]
        self._optimiser.load_state_dict(state["optimiser"])
        self._learning_rate.load_state_dict(state["learning_rate"])
        self._generator.set_state(state["generator"])
        for term, its in zip(self.terms, state["terms"], strict=True):
            term.load(its)
        self.kept.load(state["kept"])
        self._behind = self.done % self.per_epoch
        if self._behind:
            self._batches = self._epoch()

    def _epoch(self) -> Iterator[Batch]:
        self._epoch_began = self._generator.get_state()
        return shuffled(self.workload.train, self.tuning.batch_size, self.device, self._generator)

    def _catch_up(self) -> None:
        """Make the batches once more that were trained on already: augmentation draws for each."""
        while self._behind:
            with drawn_by(self.seed, self.device):
                next(self._batches)
            self._behind -= 1

    def _precision(self) -> AbstractContextManager[None]:
        return mixed_precision(self.device) if self._mixed else nullcontext()

    @torch.no_grad()
    def _runs_mixed(self) -> bool:
        """Whether the network and the loss run in mixed precision: torch has some operations in float32 alone."""
        try:
            with training_tried(self.model), mixed_precision(self.device), drawn_by(self.seed, self.device):
                few = torch.arange(min(2, len(self.workload.train)))
                self._loss(self.workload.train.batch(few, self.device))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            return False
        return True

    def _loss(self, batch: Batch) -> Tensor:
        """The task's loss on the batch with all that is added to it."""
        task, tuning = self.workload.task, self.tuning
        return total_loss(task, self.terms, self.model, batch, tuning, self.done, self.total)

    def _steps(self, count: int, remask: Callable[[], None], every: int) -> Iterator[Step]:
        self._catch_up()
        if self._mixed is None:
            self._mixed = self._runs_mixed()
        for position in range(count):
            step, in_epoch = self.done, self.done % self.per_epoch
            if in_epoch == 0:
                self._batches = self._epoch()
            self._optimiser.zero_grad(set_to_none=True)
            with self._precision(), drawn_by(self.seed * 2**24 + step, self.device):
                loss = self._loss(next(self._batches))
            loss.backward()
            self._optimiser.step()
            for term in self.terms:
                term.after_step(self.model)
            remask()
            self.kept.follow()
            self._learning_rate.step()
            self.done += 1
            if step % every == 0 or in_epoch == self.per_epoch - 1 or position == count - 1:
                yield Step(step // self.per_epoch, step, self.total, float(loss.detach()))


def tune(
    model: nn.Module,
    workload: Workload,
    tuning: Tuning,
    masks: Masks,
    device: torch.device,
    seed: int,
    every: int = 20,
    terms: Sequence[LossTerm] = (),
) -> Iterator[Step]:
    """A training of `tuning.epochs` epochs under one set of masks, as `Training.steps`; nothing is validated."""
    total = steps_per_epoch(tuning, workload.train) * tuning.epochs
    if total:
        whole = Training(model, workload, tuning, total, device, seed, terms)
        yield from whole.steps(total, masks, every)
        whole.kept.settle()


def masker(model: nn.Module, masks: Masks, device: torch.device) -> Callable[[], None]:
    """A function that puts every pruned value back to zero, in place; masks are moved and laid out once.

    The bits of each value are multiplied by 0 or 1, as whole numbers: zero then also where a value is NaN, which as a
    number times 0 is NaN. One call for all tensors, and on a CPU a tenth of the time of `masked_fill_` or less.
    """
    bits: list[Tensor] = []
    factors: list[Tensor] = []
    for name, stays in masks.items():
        values = model.get_parameter(name).detach()
        bits.append(values.view(WHOLE_NUMBERS[values.element_size()]))
        factors.append(torch.empty_like(bits[-1]).copy_(stays))

    def remask() -> None:
        if bits:
            torch._foreach_mul_(bits, factors)  # type: ignore[attr-defined]

    return remask
