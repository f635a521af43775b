"""Derivatives of a task's loss with respect to weights, in eval mode: nothing is left behind in the model.

Every function gives parameter name -> float32 of the parameter's shape. Memory is bounded by one batch, and for the
squares of single samples' gradients by `VALUES` of them at a time.
"""

import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from pruning.criteria.calibration import Calibration
from pruning.errors import WorkloadError, describe
from pruning.model.layer_table import prunable_weights
from pruning.model.narrow_convolutions import right_gradients
from pruning.model.parameter_sharing import every_path
from pruning.model.units import UnitGroup
from pruning.workload import Batch, Task

Values = dict[str, Tensor]

VALUES = 2**25
"""How many gradient values of single samples are held at once: 128 MiB."""


def ranked_params(groups: Sequence[UnitGroup]) -> list[str]:
    """Every tensor whose values rank some group's units, once."""
    return list(dict.fromkeys(name for group in groups for name in group.params))


def all_weights(model: nn.Module, groups: Sequence[UnitGroup]) -> list[str]:
    """What ranks the groups, and every other weight that can be pruned: for criteria in which weights act together.

    Their scores do not depend on which other layers compete.
    """
    return list(dict.fromkeys([*(weight.param for weight in prunable_weights(model)), *ranked_params(groups)]))


def gradients(model: nn.Module, names: Sequence[str], batch: Batch, task: Task) -> Values:
    """∂L/∂w of the batch's loss. A weight that the loss does not depend on has gradient 0."""
    weights = [model.get_parameter(name) for name in names]
    with torch.enable_grad(), kernels(model):
        # autograd.grad and not backward(): nothing is left behind in the parameters' .grad
        found = torch.autograd.grad(task.loss(model, batch), weights, materialize_grads=True)
    return {name: gradient.float() for name, gradient in zip(names, found, strict=True)}


def mean_gradients(model: nn.Module, names: Sequence[str], calibration: Calibration) -> Values:
    """∂L/∂w of the mean loss over all calibration samples: one forward and one backward pass over them."""
    return _mean(calibration, lambda batch: gradients(model, names, batch, calibration.workload.task))


def hessian_product(model: nn.Module, vectors: Mapping[str, Tensor], batch: Batch, task: Task) -> Values:
    """H v of the batch's loss, H over the parameters that `vectors` names (Pearlmutter 1994): two backward passes.

    WorkloadError where torch cannot differentiate a layer twice.
    """
    weights = [model.get_parameter(name) for name in vectors]
    with torch.enable_grad(), kernels(model, twice=True):
        loss = task.loss(model, batch)
        try:
            first = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
            along = torch.stack([(g * v).sum().float() for g, v in zip(first, vectors.values(), strict=True)]).sum()
            if not along.requires_grad:  # the loss is linear in the weights: there is no curvature
                return {name: torch.zeros_like(vector) for name, vector in vectors.items()}
            _require_derivatives(along)
            second = torch.autograd.grad(along, weights, materialize_grads=True)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise WorkloadError(
                f"torch cannot differentiate this network twice ({describe(error)}); choose a criterion that needs "
                "gradients alone, such as snip or taylor"
            ) from error
    return {name: product.float() for name, product in zip(vectors, second, strict=True)}


def mean_hessian_product(model: nn.Module, vectors: Mapping[str, Tensor], calibration: Calibration) -> Values:
    """H v of the mean loss over all calibration samples: one forward and two backward passes over them."""
    return _mean(calibration, lambda batch: hessian_product(model, vectors, batch, calibration.workload.task))


def fisher_diagonal(model: nn.Module, names: Sequence[str], calibration: Calibration) -> Values:
    """Mean over the calibration samples of (∂L/∂w)², each sample's own: the diagonal of the empirical Fisher matrix."""
    return _mean(calibration, lambda batch: squared_gradients(model, names, batch, calibration.workload.task))


def squared_gradients(model: nn.Module, names: Sequence[str], batch: Batch, task: Task) -> Values:
    """Mean over the samples of the batch of (∂L/∂w)², each sample's own."""
    inputs, targets = batch
    at_once = max(1, VALUES // max(1, sum(model.get_parameter(name).numel() for name in names)))
    try:
        total: Values = {}
        for part in zip(inputs.split(at_once), targets.split(at_once), strict=True):
            _add(total, summed_at_once(model, names, part, task))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # a layer that vmap has no rule for (recurrent ones), or a model that looks at its values
        total = summed_one_by_one(model, names, batch, task)
    return {name: value / len(inputs) for name, value in total.items()}


def summed_at_once(model: nn.Module, names: Sequence[str], batch: Batch, task: Task) -> Values:
    """Σ over the batch of each sample's squared gradients, all samples in one pass. RuntimeError where vmap cannot."""
    measured = Loss(model, task)

    def loss(weights: Values, sample: Tensor, target: Tensor) -> Tensor:
        return measured.at(weights, (sample[None], target[None]))

    weights = {name: model.get_parameter(name).detach() for name in names}
    # no_grad: torch.func differentiates within, and the graph of the weights that were not asked for is not kept
    with torch.no_grad(), kernels(model, twice=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")  # still faster than one by one
        found: Values = vmap(grad(loss), in_dims=(None, 0, 0))(weights, *batch)
    return {name: each.float().square().sum(dim=0) for name, each in found.items()}


def summed_one_by_one(model: nn.Module, names: Sequence[str], batch: Batch, task: Task) -> Values:
    """As `summed_at_once`, a pass for each sample: slower, and right for every layer."""
    total: Values = {}
    for sample, target in zip(*batch, strict=True):
        own = gradients(model, names, (sample[None], target[None]), task)
        _add(total, {name: gradient.square() for name, gradient in own.items()})
    return total


class Loss(nn.Module):
    """The loss as a module, so that `functional_call` can put other weights into the model that the task sees."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        super().__init__()
        self.model = model
        self.task = task

        self.places = {name: _places(model, paths) for name, paths in every_path(model).items()}

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return self.task.loss(self.model, (inputs, targets))

    def at(self, weights: Values, batch: Batch) -> Tensor:
        """The loss with other values of some of the model's parameters, wherever the model holds them."""
        named = {f"model.{place}": weight for name, weight in weights.items() for place in self.places[name]}
        # torch would tie by name: a module that has two names it swaps twice, and leaves it broken
        return functional_call(self, named, batch, tie_weights=False)


def _places(model: nn.Module, paths: Sequence[str]) -> list[str]:
    """Of the names of one tensor those that differ by more than the way to the module."""
    places: dict[tuple[int, str], str] = {}
    for path in paths:
        layer, _, word = path.rpartition(".")
        places.setdefault((id(model.get_submodule(layer)), word), path)
    return list(places.values())


def _mean(calibration: Calibration, of: Callable[[Batch], Values]) -> Values:
    """Mean over the samples of what `of` gives for each batch as the mean over the batch."""
    total: Values = {}
    samples = 0
    for batch in calibration.batches():
        _add(total, {name: value * len(batch[0]) for name, value in of(batch).items()})
        samples += len(batch[0])
    return {name: value / samples for name, value in total.items()}


def _add(total: Values, values: Values) -> None:
    for name, value in values.items():
        total[name] = total[name] + value if name in total else value


def _require_derivatives(value: Tensor) -> None:
    """RuntimeError where a function marked `once_differentiable` cuts the graph.

    torch itself says nothing when only some gradients are asked for: it would leave this part of the sum out.
    """
    seen: set[Any] = set()
    nodes: list[Any] = [value.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        if type(node).__name__ == "Error":
            raise RuntimeError("a function is marked once_differentiable")
        seen.add(node)
        nodes += [following for following, _ in node.next_functions]


@contextmanager
def kernels(model: nn.Module, twice: bool = False) -> Generator[None]:
    """While the block runs torch takes kernels that have the derivatives: the fastest ones do without."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    cudnn, mkldnn = torch.backends.cudnn.enabled, torch.backends.mkldnn.enabled
    attention = sdpa_kernel(SDPBackend.MATH) if twice else nullcontext()
    try:
        if recurrent:
            torch.backends.cudnn.enabled = False  # its recurrent kernels have no backward pass in eval mode
            torch.backends.mkldnn.enabled = mkldnn and not twice
        with attention, right_gradients(model):
            yield
    finally:
        torch.backends.cudnn.enabled, torch.backends.mkldnn.enabled = cudnn, mkldnn
