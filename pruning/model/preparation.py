"""From a workload to a model that can be pruned: folded, finite, run once. The model is a fresh copy."""

import copy
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm

from pruning.errors import WorkloadError, describe
from pruning.files.shown import shown
from pruning.model.contract import require_answers, require_one_sample
from pruning.model.devices import place
from pruning.workload import TensorSplit, Workload


def open_model(workload: Workload, device: torch.device) -> nn.Module:
    """A fresh copy of the trained model in eval mode on the device. WorkloadError if it cannot be used."""
    try:
        model = workload.build()
    except WorkloadError:
        raise
    except Exception as error:
        raise WorkloadError(
            f"{workload.name}: building the model failed ({describe(error)}); mend its build()"
        ) from error
    model = unwrapped(model)
    if isinstance(model, torch.jit.ScriptModule):
        raise WorkloadError(
            f"{workload.name}: build() gave a model in TorchScript, whose layers cannot be changed; build it from its "
            "Python class and load the weights with load_state_dict(scripted.state_dict())"
        )
    if not isinstance(model, nn.Module) or not list(model.children()):  # type: ignore[redundant-expr]
        raise WorkloadError(
            f"{workload.name}: build() gave a {type(model).__name__} and not a module of layers; "
            "return an nn.Module, a single layer wrapped in nn.Sequential"
        )
    if lazy := [name for name, each in model.named_parameters() if isinstance(each, nn.UninitializedParameter)]:
        raise WorkloadError(
            f"{workload.name}: {lazy[0]} has no shape yet, for its layer is lazy; run the model once in build()"
        )
    require_targets(workload)
    require_one_sample(workload)
    model = plain_copy(model)  # a build() that returns the same module each time would see it folded and pruned
    require_plain(workload.name, model.state_dict())
    require_finite(workload.name, model.state_dict())
    model = place(model.eval(), workload.example, device)
    try:
        with torch.no_grad():
            output: object = model(workload.example.to(device))
    except Exception as error:
        shape = list(workload.example.shape)
        raise WorkloadError(
            f"{workload.name}: the model does not run on its example of shape {shape} ({describe(error)}); "
            "mend the example"
        ) from error
    if not isinstance(output, Tensor):
        raise WorkloadError(
            f"{workload.name}: the model returns a {type(output).__name__}; return one tensor, what the task evaluates"
            + (f", such as its entry {next(iter(output))!r}" if isinstance(output, dict) and output else "")
        )
    require_answers(workload, model, device)
    return model


WRAPPERS = {"DataParallel": "module", "DistributedDataParallel": "module", "OptimizedModule": "_orig_mod"}
"""What only says how a model is run, and where the model is in it: DataParallel, its successor, torch.compile."""


def unwrapped(model: nn.Module) -> nn.Module:
    """The model without what only says how it is run. By its type's name: torch's compiler takes a second to import."""
    while is_wrapper(model):
        model = getattr(model, WRAPPERS[type(model).__name__])
    return model


def is_wrapper(model: nn.Module) -> bool:
    """Whether this only says how another module is run. A class of somebody's own that has such a name is not meant."""
    return type(model).__name__ in WRAPPERS and type(model).__module__.startswith("torch.")


def unwrap_parts(model: nn.Module) -> None:
    """Do the same with every part of the model, in place: names become those of the class."""
    for name, part in list(model.named_modules(remove_duplicate=False)):
        if name and is_wrapper(part):
            model.set_submodule(name, unwrapped(part))


def plain_copy(model: nn.Module) -> nn.Module:
    """A copy that is nothing but layers with plain weights: not wrapped anywhere, nothing re-parametrised."""
    model = copied(unwrapped(model))
    unwrap_parts(model)
    fold(model)
    return model


def copied(model: nn.Module) -> nn.Module:
    """A deep copy, also of weights that weight_norm and torch's prune compute at each call: deepcopy refuses them."""
    attributes = [value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    made = copy.deepcopy(model, {id(value): value.detach().clone() for value in attributes if not value.is_leaf})
    for module in made.modules():
        if parametrize.is_parametrized(module):
            _own_class(module)
    return made


def _own_class(module: nn.Module) -> None:
    """Give a parametrised module a class of its own.

    torch makes one for it that holds its weights as properties, and a copy has the same: to take a parametrisation off
    the copy would take the property off the original.
    """
    shared = type(module)
    own = {name: value for name, value in vars(shared).items() if name not in ("__dict__", "__weakref__")}
    module.__class__ = type(shared.__name__, shared.__bases__, own)  # pyright: ignore[reportAttributeAccessIssue]


def require_targets(workload: Workload) -> None:
    """WorkloadError that names the first split that is empty, cannot be read, or whose targets are not its classes."""
    classes = len(workload.task.classes)
    splits = {"train": workload.train, "validation": workload.validation, "test": workload.test}
    for name, split in splits.items():
        where = f"{workload.name}: its {name} split"
        if not len(split):
            raise WorkloadError(f"{where} is empty; give it samples")
        try:
            _, targets = split.batch(torch.arange(min(2, len(split))), torch.device("cpu"))
        except Exception as error:
            raise WorkloadError(f"{where} does not give a batch ({describe(error)}); mend the data") from error
        if not classes:
            continue
        # where all are at hand all are looked at: a wrong label would be scored without a word
        targets = split.targets if isinstance(split, TensorSplit) else targets
        if targets.dim() != 1 or targets.is_floating_point():
            shape = list(targets.shape)
            raise WorkloadError(f"{where} has {targets.dtype} targets of shape {shape}; give one whole number a sample")
        low, high = int(targets.min()), int(targets.max())
        if low < 0 or high >= classes:
            raise WorkloadError(
                f"{where} has targets from {low} to {high}, but there are {classes} classes (0 to {classes - 1}); "
                "mend the targets or name all classes"
            )


Reparametrization = Literal["parametrize", "prune", "spectral_norm", "weight_norm"]
"""torch.nn.utils.parametrize, which has a weight_norm and a spectral_norm of its own, and the older functions."""


def reparametrized(module: nn.Module) -> list[tuple[Reparametrization, str]]:
    """The tensors of the module itself that it computes at each call from others: by what, and their names."""
    found: list[tuple[Reparametrization, str]] = [
        ("parametrize", name) for name in getattr(module, "parametrizations", {})
    ]
    names = {name for name, _ in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]}
    for name in sorted(names):
        whole = name.rpartition("_")[0]
        if name.endswith("_mask") and f"{whole}_orig" in names:
            found.append(("prune", whole))
        elif name.endswith("_u") and f"{whole}_orig" in names:
            found.append(("spectral_norm", whole))
        elif name.endswith("_g") and f"{whole}_v" in names:
            found.append(("weight_norm", whole))
    return found


def fold(model: nn.Module) -> None:
    """Make every re-parametrised weight (weight_norm, spectral_norm, torch.nn.utils.prune) a plain one, in place."""
    for module in model.modules():
        for by, name in reparametrized(module):
            match by:
                case "parametrize":
                    parametrize.remove_parametrizations(module, name, leave_parametrized=True)
                case "prune":
                    prune.remove(module, name)
                case "spectral_norm":
                    remove_spectral_norm(module, name)
                    # torch forgets this hook, which then asks load_state_dict for the tensors that are gone
                    vars(module)["_load_state_dict_pre_hooks"].clear()
                case "weight_norm":
                    remove_weight_norm(module, name)


def require_plain(owner: str, tensors: Mapping[str, object]) -> None:
    """WorkloadError that names the first entry of a state dict which is not a plain tensor: files cannot hold it."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or tensor.is_quantized:
            raise WorkloadError(
                f"{owner}: {name} is quantised or not a tensor at all; use the float model, prune it, then quantise it"
            )


_PIECE = 2**22
"""Values that are looked at together: what they are compared with takes several times their memory."""


def require_finite(owner: str, tensors: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> None:
    """WorkloadError that names the first tensor with NaN or infinite values.

    A tensor of nothing but 0 and -inf is meant so: it is added to scores of attention to hide some of them.
    """
    for name, tensor in dict(tensors).items():
        count = sum(int((~torch.isfinite(piece.float())).sum()) for piece in tensor.flatten().split(_PIECE))
        if count and not bool(((tensor == 0) | (tensor == -torch.inf)).all()):
            raise WorkloadError(
                f"{owner}: the tensor {shown(name)} holds {count} values that are NaN or infinite; repair or retrain "
                "the model"
            )
