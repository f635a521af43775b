"""A network of the zoo as a workload, and one of its cuts through the library's own front door."""

import warnings
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import nn

import pruning
from pruning.api.result import PruningResult
from pruning.events import SurgeryChecked
from pruning.exporters import Record, export, kinds_of
from pruning.exporters.verification import differences, score_file
from pruning.exporters.workload_source import WorkloadSource
from pruning.model.module_sizes import saved_tensors
from pruning.workload import Classification, TensorSplit, Workload
from tests.zoo.networks import made

SAMPLES = 24
CPU = torch.device("cpu")


@lru_cache
def workload(name: str) -> Workload:
    """The network with a few samples, whose targets are what the network itself says: its accuracy is 1."""
    network = made(name)
    inputs = network.samples(SAMPLES)
    with torch.no_grad():
        logits = network.model(inputs)
    split = TensorSplit(inputs, logits.argmax(dim=1))
    classes = tuple(str(number) for number in range(logits.shape[1]))
    return Workload(name, partial(model_of, name), network.example, split, split, split, Classification(classes))


def model_of(name: str) -> nn.Module:
    return made(name).model


def natural(name: str) -> str:
    """The granularity that one would prune such a network by: hidden units where it is recurrent, else channels."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in workload(name).build().modules())
    return "rnn_units" if recurrent else "channels"


@lru_cache
def cut(name: str, granularity: str, share: float) -> PruningResult:
    """The network without this share of every group's units, not fine-tuned. PruningError where that is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run's notes, which are in the result
        return pruning.prune(
            workload(name),
            granularity=granularity,
            sparsity=share,
            scope="layer",
            epochs=0,
            device="cpu",
            progress=False,
        )


def difference(result: PruningResult) -> float:
    """How far the outputs with units masked and with units removed lie apart, as a share of the largest output.

    0 where units are only set to zero: there is one network then.
    """
    found = [event.max_difference for event in result.events if isinstance(event, SurgeryChecked)]
    with torch.no_grad():
        largest = result.model(result.workload.validation.batch(torch.arange(SAMPLES), CPU)[0]).abs().max()
    return max(found, default=0.0) / float(largest)


def says_so(result: PruningResult) -> bool:
    """Whether the run says that the network without units is another than the one with units masked."""
    return any("differ" in note for note in result.notes)


def only_zeroed(result: PruningResult) -> bool:
    """Whether the run says that what it pruned is set to zero and not removed."""
    return any("set to zero and not removed" in note for note in result.notes)


def lost(result: PruningResult) -> float:
    """The share of the parameters that the cut took away."""
    return 1 - result.stages["tuned"].parameters / result.stages["dense"].parameters


def written(result: PruningResult, folder: Path, source: WorkloadSource) -> dict[str, Path]:
    """What a person takes home: kind -> file. `source` is where another process gets the workload."""
    record = Record(result.workload, result.recipe, result.model, "cpu", result.events, result.sizes, source)
    return {kind: export(kind, record, folder) for kind in kinds_of(record)}


def differences_of_files(result: PruningResult, folder: Path) -> list[str]:
    """A sentence for every way in which an exported file, loaded and scored again, is not the network."""
    files = written(result, folder, result.workload)
    found = [score_file(files[kind], result.workload, CPU) for kind in ("safetensors", "pt")]
    return differences(result.stages["tuned"], saved_tensors(result.model, result.sizes), found)
