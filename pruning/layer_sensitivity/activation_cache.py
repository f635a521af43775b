"""What every layer of the dense network sees, in the order in which samples are evaluated: one pass serves all cuts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pruning.evaluation.accuracy import Evaluator
from pruning.evaluation.regression_estimator import DenseReference, DenseReferenceBuilder, evaluation_order
from pruning.evaluation.sequential_bounds import FIRST_LOOK, looks
from pruning.layer_sensitivity.suffix_graph import GraphWalk, Suffix, copied, tensors_in

CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True, eq=False)
class CachedBatch:
    """Samples from `at` to `upto` of the order; `seen` is what each suffix takes, empty where that is not kept."""

    at: int
    upto: int
    inputs: Tensor
    target: Tensor
    seen: dict[Suffix, tuple[Any, ...]]


class ActivationCache:
    """Runs the dense network on a split, batch by batch, and keeps what the suffixes take while there is room.

    `known` is None where the dense network was not evaluated before: then the pass does it.
    """

    def __init__(self, model: nn.Module, known: DenseReference | None, evaluator: Evaluator) -> None:
        self.known = known
        self.batches: list[tuple[int, int]] = []
        self._model, self._evaluator = model, evaluator
        self._order = evaluation_order(len(evaluator)) if known is None else known.order
        self._dense = DenseReferenceBuilder(evaluator.task, len(evaluator))
        self._walk: GraphWalk | None = None
        self._suffixes: list[Suffix] = []
        self._kept: dict[int, CachedBatch] = {}
        self._room = CACHE_BYTES

    def watch(self, walk: GraphWalk, suffixes: Sequence[Suffix], most: int) -> None:
        """See from now on for these suffixes, in batches of at most so many samples."""
        self._walk, self._suffixes = walk, list(suffixes)
        self.batches = batches(len(self._evaluator), most)

    def know(self, samples: int) -> Iterator[None]:
        """Let the dense network evaluate at least so many samples, if it has not, in small steps."""
        if self.known is not None and self.known.evaluated >= min(samples, len(self._evaluator)):
            return
        for at, upto in self.batches:
            if self._dense.evaluated <= at < samples:
                self._evaluate(at, upto)
                yield
        self.known = self._dense.known()
        if self.known.evaluated == len(self._evaluator):  # the outputs are not needed any more
            self._dense = DenseReferenceBuilder(self._evaluator.task, len(self._evaluator))

    def batch(self, at: int, upto: int) -> CachedBatch:
        """One of the batches."""
        if at in self._kept:
            return self._kept[at]
        inputs, target = self.inputs(at, upto)
        if not self._suffixes or self._room <= 0:
            return CachedBatch(at, upto, inputs, target, {})
        return self._keep(CachedBatch(at, upto, inputs, target, dict(self._safe_stops(inputs, self._suffixes))))

    def stops(self, batch: CachedBatch, suffixes: Sequence[Suffix]) -> Iterator[tuple[Suffix, tuple[Any, ...]]]:
        """Some of the suffixes with what they take of the batch, in the order of the network."""
        if self._walk is None or batch.seen:
            return iter([(suffix, batch.seen[suffix]) for suffix in suffixes])
        return self._walk.stops(batch.inputs, suffixes)

    def inputs(self, at: int, upto: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the samples from `at` to `upto` of the order."""
        return self._evaluator.batch(self._order[at:upto])

    def in_order_of_the_split(self, scores: Tensor) -> Tensor:
        """Scores [n] of samples in the evaluating order."""
        return torch.empty_like(scores).index_put_((self._order,), scores)

    def _evaluate(self, at: int, upto: int) -> None:
        inputs, target = self.inputs(at, upto)
        if self._walk is None or not self._suffixes:
            output = self._model(inputs)
        elif self._room > 0:
            seen = dict(self._safe_stops(inputs, [*self._suffixes, self._walk.end]))
            (output,) = seen.pop(self._walk.end)
            self._keep(CachedBatch(at, upto, inputs, target, seen))
        else:
            ((_, (output,)),) = self._walk.stops(inputs, [self._walk.end])
        self._dense.add(self._order[at:upto], output, target)

    def _safe_stops(self, inputs: Tensor, suffixes: Sequence[Suffix]) -> Iterator[tuple[Suffix, tuple[Any, ...]]]:
        """What the suffixes take, safe from what the network overwrites later, and no part of a larger tensor."""
        assert self._walk is not None
        for suffix, values in self._walk.stops(inputs, suffixes):
            yield suffix, copied(values) if suffix.overwrites or any(map(_is_part, tensors_in(values))) else values

    def _keep(self, batch: CachedBatch) -> CachedBatch:
        tensors = [batch.inputs, batch.target, *(each for seen in batch.seen.values() for each in tensors_in(seen))]
        storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
        self._room -= sum(storages.values())
        if self._room >= 0:
            self._kept[batch.at] = batch
        return batch


def _is_part(tensor: Tensor) -> bool:
    return tensor.untyped_storage().nbytes() > tensor.numel() * tensor.element_size()


def batches(total: int, most: int) -> list[tuple[int, int]]:
    """From where to where in the order samples are evaluated at once, at most `most`; some end at each look.

    Few and small ones at first, so that all cells are soon looked at; later some between looks, for a cell may be known
    well enough there.
    """
    ends = [look for n, look in enumerate(looks(total)) if n % 2 == 0 or look > 4 * FIRST_LOOK or look == total]
    found: list[tuple[int, int]] = []
    for begin, end in pairwise([0, *ends]):
        parts = max(-(-(end - begin) // most), min((end - begin) // 200, 3), 1)
        cuts = [begin + (end - begin) * part // parts for part in range(parts + 1)]
        found += pairwise(cuts)
    return found
