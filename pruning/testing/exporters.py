"""What every exporter owes."""

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath

import torch
from torch import Tensor, nn

from pruning.events import Event, StageMeasured, Started
from pruning.exporters import EXPORTERS, Exporter, Record
from pruning.exporters.loading import load_network
from pruning.exporters.reading import read_own_network
from pruning.granularities import Channels, Granularity, Weights
from pruning.recipe.recipe import Recipe
from pruning.run.engine import prune
from pruning.selection.amounts import Sparsity
from pruning.testing.untouched import untouched
from pruning.training.tuning import Tuning
from pruning.workload import Workload

CPU = torch.device("cpu")
SAMPLES = 16  # at most, that the network and the loaded file are compared on
LARGE = 1_000_000  # values of a tensor of which the network uses a few


class _Case:
    """An exporter, and a workload whose runs it writes."""

    exporter: Exporter
    workload: Workload

    def _record(
        self, granularity: Granularity, workload: Workload | None = None, stopped: bool = False
    ) -> tuple[Record, nn.Module]:
        """A run that prunes half of the units and trains nothing, or is `stopped` before it prunes any; and its model.

        The events are those that there are when a run exports: the files are not verified yet.
        """
        work = workload or self.workload
        recipe = Recipe(work.name, granularity=granularity, amount=Sparsity(0.5), tuning=Tuning(epochs=0))
        events = list[Event]()
        run = prune(work, recipe, CPU, lambda: stopped)
        while True:
            try:
                events.append(next(run))
            except StopIteration as end:
                done = end.value
                break
        return Record(work, recipe, done.model, "cpu", tuple(events), done.sizes, work), done.model

    def _removed(self) -> tuple[Record, nn.Module]:
        """A run that left a smaller network."""
        record, model = self._record(Channels())
        before, after = (sum(p.numel() for p in each.parameters()) for each in (self.workload.build(), model))
        assert after < before, f"{self.workload.name} has no channels to remove: test on another network"
        return record, model

    def _content(self, record: Record, model: nn.Module) -> bytes:
        """The file of the run; fails where making it changed the network."""
        with untouched(model), torch.random.fork_rng(devices=[]):  # to build a network may draw
            content: object = self.exporter.content(record)
        assert isinstance(content, bytes), f"content() gave a {type(content).__name__} and not bytes"
        assert content, f"{self.exporter.file} is empty"
        return content


class ExporterContract(_Case):
    """What an exporter owes. Say which `exporter` and which `workload`, and pytest finds the rest.

    Some ten samples are enough; the network has channels that can be removed. Inherit also from `WeightsContract` where
    the file holds the network.
    """

    def test_its_file_is_a_plain_name_that_no_other_exporter_writes(self) -> None:
        made = type(self.exporter)
        name = PurePath(made.file)
        assert made.file == name.name, f"{made.__name__}.file is {made.file!r}: the name of a file, without a folder"
        assert name.suffix and not made.file.startswith("."), f"{made.file!r} has no ending, by which a person knows it"
        others = [kind for kind, other in EXPORTERS.items() if other is not made and other.file == made.file]
        assert not others, f"{made.file} is also the file of {others[0]}: one of the two would be lost"

    def test_it_is_made_without_arguments(self) -> None:
        assert isinstance(type(self.exporter)().file, str)  # as `export` makes it

    def test_a_run_that_set_weights_to_zero_is_written(self) -> None:
        self._content(*self._record(Weights()))

    def test_a_run_that_removed_channels_is_written(self) -> None:
        self._content(*self._removed())

    def test_a_run_that_was_stopped_before_anything_was_pruned_is_written(self) -> None:
        self._content(*self._record(Weights(), stopped=True))

    def test_a_run_of_which_only_the_dense_network_was_measured_is_written(self) -> None:
        record, model = self._record(Weights(), stopped=True)
        few = [event for event in record.events if isinstance(event, Started) or _dense(event)]
        self._content(replace(record, events=tuple(few)), model)

    def test_names_in_any_script_are_written(self) -> None:
        named = replace(self.workload, name='größe <零> & "half"', data="</script>")
        self._content(*self._record(Weights(), named))


class WeightsContract(_Case):
    """What an exporter owes besides whose file holds the network.

    `read` is how the file is read; without one of your own it is a .safetensors file, or a state dict of torch.save.
    """

    def read(self, file: Path) -> Mapping[str, Tensor]:
        """Tensor name -> its values, as in the network's state dict."""
        return read_own_network(file)[0]

    def test_the_file_holds_every_tensor_of_the_network_bit_by_bit(self) -> None:
        for record, model in (self._record(Weights()), self._removed()):
            found, expected = self._read_back(record, model), model.state_dict()
            assert found.keys() == expected.keys(), f"tensors came or went: {sorted(found.keys() ^ expected.keys())}"
            for name, tensor in expected.items():
                assert found[name].dtype == tensor.dtype, f"{name} is {found[name].dtype} and was {tensor.dtype}"
                assert torch.equal(found[name], tensor), f"{name} has other values in the file"

    def test_the_network_that_is_made_from_the_file_gives_what_the_network_gave(self) -> None:
        record, model = self._removed()
        loaded = load_network(self.workload, self._read_back(record, model), CPU, record.sizes)
        train = self.workload.train
        inputs, _ = train.batch(torch.arange(min(SAMPLES, len(train))), CPU)
        with torch.no_grad():
            difference = float((loaded(inputs) - model(inputs)).abs().max())
        assert difference < 1e-5, f"the loaded network gives something else: {difference}"

    def test_equal_networks_give_equal_files(self) -> None:
        record, model = self._record(Weights())
        again = copy.deepcopy(model)
        other = replace(record, model=again, device="another", events=record.events[:1])
        assert self._content(record, model) == self._content(other, again), "two files of the same network differ"

    def test_of_a_larger_tensor_only_what_the_network_uses_is_written(self) -> None:
        """A parameter may be a part of a larger tensor, as after slicing: torch.save would write all of that."""
        record, model = self._record(Weights())
        name, parameter = next(iter(model.named_parameters()))
        whole = torch.zeros(LARGE + parameter.numel())
        whole[: parameter.numel()] = parameter.detach().flatten()
        before = len(self._content(record, model))
        parameter.data = whole[: parameter.numel()].view(parameter.shape)
        after = len(self._content(record, model))
        assert after < before + LARGE, f"{name} takes {after - before} bytes more as a part of a larger tensor"

    def _read_back(self, record: Record, model: nn.Module) -> Mapping[str, Tensor]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / self.exporter.file
            file.write_bytes(self._content(record, model))
            return {name: tensor.clone() for name, tensor in self.read(file).items()}


def _dense(event: Event) -> bool:
    return isinstance(event, StageMeasured) and event.stage == "dense"
