import copy
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from torch import Tensor, nn

from pruning.errors import WorkloadError
from pruning.exporters import Record, export
from pruning.exporters.loading import load_network
from pruning.exporters.reading import read_own_network
from pruning.granularities import GRANULARITIES, Channels
from pruning.model.costs import file_bytes
from pruning.model.module_sizes import NO_SIZES, ModuleSizes, saved_tensors, sizes_between
from pruning.model.surgery import remove_units
from pruning.recipe.recipe import Recipe
from pruning.workload import Classification, TensorSplit, Workload
from tests.architectures import inputs_of, made
from tests.networks import CPU, NETWORKS, VECTOR, Tied, samples, seeded, tiny, workload


def write(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    path.write_bytes(file_bytes(tensors)) if path.suffix == ".safetensors" else torch.save(tensors, path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_smaller_network_is_rebuilt_from_its_file(tmp_path, name, suffix):
    work = tiny(name)
    groups = Channels().sorted_out(work.build(), work.example)[0]
    keep = {group.name: torch.arange(group.units) % 2 == 0 for group in groups}
    smaller = remove_units(work.build(), work.example, groups, keep)
    path = tmp_path / f"small{suffix}"
    write(smaller.state_dict(), path)
    loaded = load_network(work, read_own_network(path)[0], CPU)
    inputs = samples(NETWORKS[name][1], 8, 0).inputs
    with torch.no_grad():
        assert torch.allclose(loaded(inputs), smaller(inputs), atol=1e-6)
    assert not loaded.training
    assert all(torch.equal(loaded.state_dict()[key], tensor) for key, tensor in smaller.state_dict().items())


def test_tensors_of_the_same_shape_are_loaded_as_they_are():
    work = tiny("residual")
    tensors = tiny("residual", seed=5).build().state_dict()
    loaded = load_network(work, tensors, CPU).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_a_class_that_asks_for_a_version_which_a_file_does_not_hold_is_loaded():
    class Versioned(nn.Linear):
        def _load_from_state_dict(self, tensors, prefix, metadata, *others):
            raise ValueError("version should be set")

    work = workload(lambda: nn.Sequential(seeded(lambda: Versioned(6, 3))), VECTOR)
    tensors = {name: tensor + 1 for name, tensor in work.build().state_dict().items()}
    loaded = load_network(work, tensors, CPU).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_tied_tensors_stay_tied():
    work = workload(lambda: seeded(Tied), VECTOR)
    tensors = load(file_bytes({name: tensor + 1 for name, tensor in work.build().state_dict().items()}))
    loaded = load_network(work, tensors, CPU)
    assert loaded.first.weight is loaded.second.weight and torch.equal(loaded.first.weight, tensors["first.weight"])


def test_tensors_of_another_network_are_refused_by_name():
    with pytest.raises(WorkloadError, match=r"differ in the tensors 0\.bias, .* choose its own workload"):
        load_network(tiny("residual"), tiny("mlp").build().state_dict(), CPU)


@pytest.mark.parametrize("shape", [(3, 9), (0, 4), ()])
def test_tensors_that_no_cut_leaves_are_refused_by_name_and_shape(shape):
    tensors = copy.copy(dict(tiny("mlp").build().state_dict()))
    tensors["2.weight"] = torch.zeros(shape)
    sentence = rf"do not fit mlp: 2\.weight has shape {re.escape(str(list(shape)))} in the file and \[4, 5\] in the net"
    with pytest.raises(WorkloadError, match=sentence):
        load_network(tiny("mlp"), tensors, CPU)


def test_tensors_that_do_not_fit_one_another_are_refused():
    tensors = {**tiny("mlp").build().state_dict(), "2.weight": torch.zeros(4, 3)}
    with pytest.raises(WorkloadError, match=r"do not fit mlp: with them it does not run on its example .*; choose"):
        load_network(tiny("mlp"), tensors, CPU)


def test_a_network_with_fewer_outputs_is_refused():
    tensors = {**tiny("mlp").build().state_dict(), "4.weight": torch.zeros(2, 4), "4.bias": torch.zeros(2)}
    with pytest.raises(WorkloadError, match=r"do not fit mlp: .* its output has shape \[1, 2\] and not \[1, 3\]"):
        load_network(tiny("mlp"), tensors, CPU)


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        (
            torch.float64,
            r"0\.weight is float64 in the file and float32 in the network, which cannot hold its values; save it",
        ),
        (torch.bool, r"0\.weight is bool in the file and float32 in the network; save it as float32"),
        (torch.int8, r"0\.weight is int8 in the file and float32 in the network; save it as float32"),
        (torch.uint16, r"0\.weight is uint16 in the file and float32 in the network; save it as float32"),
        (torch.float8_e4m3fn, r"0\.weight is float8_e4m3fn in the file and float32 in the network; save it as float32"),
    ],
)
def test_values_that_the_network_has_no_type_for_are_refused_by_name(dtype, words):
    tensors = dict(tiny("mlp").build().state_dict())
    tensors["0.weight"] = (tensors["0.weight"].double() + 1e-12).to(dtype)
    with pytest.raises(WorkloadError, match=rf"do not fit mlp: {words}"):
        load_network(tiny("mlp"), tensors, CPU)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_values_that_stay_the_same_in_the_networks_type_are_loaded(dtype):
    tensors = dict(tiny("mlp").build().state_dict())
    tensors["0.weight"] = (
        tensors["0.weight"].bfloat16().to(dtype) if dtype != torch.float16 else tensors["0.weight"].half()
    )
    loaded = load_network(tiny("mlp"), tensors, CPU).state_dict()
    assert loaded["0.weight"].dtype == torch.float32
    assert torch.equal(loaded["0.weight"].to(dtype), tensors["0.weight"])


def test_names_of_a_stranger_are_shown_as_text():
    tensors = {**tiny("mlp").build().state_dict(), "\x1b[2J" + "x" * 10**5: torch.zeros(1)}
    with pytest.raises(WorkloadError) as caught:
        load_network(tiny("mlp"), tensors, CPU)
    assert "\x1b" not in str(caught.value) and "?[2Jxx" in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "sizes",
    [
        ModuleSizes(numbers={"0": {"out_features": 10**9}}),
        ModuleSizes(numbers={"0": {"out_features": -(10**9)}, "2": {"in_features": 5}}),
        ModuleSizes(classes={"0": "NarrowMultiheadAttention"}),
        ModuleSizes(classes={"1": "NarrowEmbedding"}),
        ModuleSizes(classes={"0": "os.system"}),
        ModuleSizes(classes={"": "Skipped"}),
        ModuleSizes(numbers={"": {"training": 0}}),
        ModuleSizes(buffers=("training",)),
        ModuleSizes(buffers=("0.weight",)),
        ModuleSizes(buffers=("\x1b[2J" * 10**4,)),
        ModuleSizes(numbers={"\x1b[2J" * 10**4: {"x": 1}}),
    ],
)
def test_sizes_that_make_nonsense_of_a_module_are_refused_in_a_sentence(sizes):
    tensors = tiny("mlp").build().state_dict()
    try:
        loaded = load_network(tiny("mlp"), tensors, CPU, sizes)
    except WorkloadError as error:
        assert "\x1b" not in str(error) and len(str(error)) < 500 and "; choose its own workload" in str(error)
    else:
        assert not sizes.buffers
        inputs = samples(VECTOR, 8, 0).inputs
        assert torch.equal(loaded(inputs), tiny("mlp").build().eval()(inputs))


def test_shared_tensors_that_differ_in_the_file_are_refused():
    work = workload(lambda: seeded(Tied), VECTOR)
    tensors = {**work.build().state_dict(), "second.weight": torch.zeros(4, 6)}
    with pytest.raises(WorkloadError, match=r"do not fit tiny: first\.weight shares its values with another"):
        load_network(work, tensors, CPU)


class Flattened(Classification):
    """Takes outputs of any shape: here nobody looks at a score."""

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return super().judge(output.flatten(1), target)


REMOVED = [
    *((name, "channels") for name in ("grouped", "group_norm", "lstm", "language_model")),
    ("lstm", "rnn_units"), ("gru", "rnn_units"), ("gru", "embedding_dimensions"), ("encoder", "heads"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "granularity"), REMOVED, ids="-".join)
def test_what_any_granularity_removed_is_rebuilt_from_the_tensors_alone(name, granularity):
    """As from a file of an earlier version, which says nothing of sizes."""
    inputs = inputs_of(name)
    split = TensorSplit(inputs, torch.zeros(len(inputs), dtype=torch.long))
    work = Workload(name, lambda: made(name), inputs[:1], split, split, split, Flattened(("a", "b", "c")), "")
    groups = GRANULARITIES[granularity]().sorted_out(work.build(), work.example)[0]
    # another number in each group: recurrent layers of several widths are then of a class of ours
    keep = {group.name: torch.arange(group.units) >= min(i + 1, group.units - 1) for i, group in enumerate(groups)}
    smaller = remove_units(work.build(), work.example, groups, keep)
    loaded = load_network(work, load(file_bytes(smaller.state_dict())), CPU)
    with torch.no_grad():
        assert torch.equal(loaded(inputs), smaller(inputs))
    assert sizes_between(loaded, smaller) == sizes_between(smaller, loaded) == NO_SIZES
    assert sizes_between(work.build(), smaller).classes.keys() == {
        ("lstm", "rnn_units"): {"lstm"},
        ("gru", "rnn_units"): {"gru"},
        ("encoder", "heads"): {"after.self_attn", "before.self_attn"},
    }.get((name, granularity), set())


class Halves(nn.Module):
    """Half of what a layer gives gates the other half. The width of a half is a number of the module's own."""

    def __init__(self, half: int = 4) -> None:
        super().__init__()
        self.half = half
        self.first, self.last = nn.Linear(6, 2 * half), nn.Linear(half, 3)
        self.register_buffer("shift", torch.arange(float(half)), persistent=False)

    def forward(self, vectors: Tensor) -> Tensor:
        values, gates = self.first(vectors).split(self.half, dim=1)
        return self.last(values * torch.sigmoid(gates) + self.shift)


def halved() -> Record:
    """A run that left the first half of each half."""
    work = workload(lambda: seeded(Halves), VECTOR)
    smaller = seeded(lambda: Halves(2))
    sizes = sizes_between(work.build(), smaller)
    assert sizes.numbers[""] == {"half": 2} and sizes.buffers == ("shift",)
    return Record(work, Recipe("m"), smaller, "cpu", (), sizes, work)


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_numbers_of_ones_own_and_buffers_of_no_state_dict_come_back_from_the_file(tmp_path, kind):
    run = halved()
    tensors, sizes = read_own_network(export(kind, run, tmp_path))
    assert sizes == run.sizes
    loaded = load_network(run.workload, tensors, CPU, sizes)
    inputs = run.workload.test.inputs
    with torch.no_grad():
        assert torch.equal(loaded(inputs), run.model(inputs))
    assert loaded.half == 2 and loaded.first.out_features == 4


def smaller_by(name: str, granularity: str) -> Record:
    """A run that left two thirds of the units."""
    inputs = inputs_of(name)
    split = TensorSplit(inputs, torch.zeros(len(inputs), dtype=torch.long))
    work = Workload(name, lambda: made(name), inputs[:1], split, split, split, Flattened(("a", "b", "c")), "")
    groups = GRANULARITIES[granularity]().sorted_out(work.build(), work.example)[0]
    keep = {group.name: torch.arange(group.units) % 3 != 1 for group in groups}
    smaller = remove_units(work.build(), work.example, groups, keep)
    return Record(work, Recipe("m"), smaller, "cpu", (), sizes_between(work.build(), smaller), work)


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
@pytest.mark.parametrize(("name", "granularity"), [("vit", "layers"), ("gru", "embedding_rows")])
def test_blocks_and_rows_that_are_gone_are_gone_in_what_is_loaded(tmp_path, name, granularity, kind):
    run = smaller_by(name, granularity)
    tensors, sizes = read_own_network(export(kind, run, tmp_path))
    loaded = load_network(run.workload, tensors, CPU, sizes)
    inputs = run.workload.test.inputs
    with torch.no_grad():
        assert torch.equal(loaded(inputs), run.model(inputs))
    assert sizes_between(loaded, run.model) == sizes_between(run.model, loaded) == NO_SIZES


@pytest.mark.parametrize(
    "classes", [{"nowhere": "Skipped"}, {"": "Skipped"}, {"head": "NarrowEmbedding"}, {"head": "Unheard"}]
)
def test_classes_that_modules_cannot_be_are_refused(classes):
    run = smaller_by("gru", "embedding_rows")
    (path, name), *_ = classes.items()
    with pytest.raises(
        WorkloadError, match=f"says that {path or 'the model'} is a {name}, and the network has no such"
    ):
        load_network(run.workload, run.model.state_dict(), CPU, ModuleSizes(classes=classes))


@pytest.mark.parametrize(("row", "named"), [(5, "row 5 of 5"), (-2, "row -2 of 5")])
def test_a_word_whose_row_is_not_there_is_found_though_nobody_looks_it_up(row, named):
    run = smaller_by("gru", "embedding_rows")
    tensors = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    unused = min({*range(7)} - {*run.workload.example.flatten().tolist()})
    tensors["words.row_of"][unused] = row
    with pytest.raises(WorkloadError, match=f"words.row_of names {named}; export it again"):
        load_network(run.workload, tensors, CPU, run.sizes)


def test_without_its_numbers_a_network_is_refused_and_not_something_else():
    run = halved()
    with pytest.raises(WorkloadError, match="does not run on its example"):
        load_network(run.workload, run.model.state_dict(), CPU)


@pytest.mark.parametrize(
    ("path", "name"), [("", "missing"), ("", "training"), ("first", "weight"), ("nowhere", "half"), ("", "forward")]
)
def test_numbers_that_the_network_does_not_have_are_refused(path, name):
    run = halved()
    sizes = ModuleSizes({path: {name: 1}}, buffers=run.sizes.buffers)
    where = f"{path}.{name}".removeprefix(".")
    with pytest.raises(WorkloadError, match=rf"the file says that {re.escape(where)} is 1, and the network has no"):
        load_network(run.workload, saved_tensors(run.model, run.sizes), CPU, sizes)


def test_the_state_dict_with_sizes_is_one_of_plain_tensors_for_everybody_else(tmp_path):
    run = halved()
    found = torch.load(export("pt", run, tmp_path), weights_only=True)
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "first.weight": (4, 6), "first.bias": (4,), "last.weight": (3, 2), "last.bias": (3,), "shift": (2,),
    }  # fmt: skip
    del found["shift"]
    seeded(lambda: Halves(2)).load_state_dict(found)
