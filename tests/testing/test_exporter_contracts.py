"""The shipped contracts of exporters find what is wrong: each broken exporter fails the test made for it."""

import io
from typing import ClassVar

import pytest
import torch
from torch import nn

from pruning.exporters import Record
from pruning.exporters.weights_pt import Pt
from pruning.testing import ExporterContract, WeightsContract
from pruning.testing.exporters import _Case
from pruning.workload import Workload
from tests.networks import VECTOR, seeded, tiny, workload

WORK = tiny("conv_bn", count=32)


class Broken(Pt):
    """The state dict as torch.save writes it, with one fault."""

    file: ClassVar[str] = "broken.pt"

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def content(self, record: Record) -> bytes:
        tensors = dict(record.model.state_dict())
        match self.fault:
            case "text":
                return "weights"  # type: ignore[return-value]
            case "nothing":
                return b""
            case "half of the network":
                tensors = dict(list(tensors.items())[:2])
            case "half precision":
                tensors = {name: tensor.half() for name, tensor in tensors.items()}
            case "the dense network":
                tensors = record.workload.build().state_dict()
            case "the device in the file":
                return super().content(record) + record.device.encode()
            case "larger tensors":
                buffer = io.BytesIO()
                torch.save(tensors, buffer)
                return buffer.getvalue()
            case "another mode":
                record.model.train()
            case "needs the pruned stage":
                next(event for event in record.events if getattr(event, "stage", "") == "pruned")
            case "plain English only":
                record.workload.name.encode("ascii")
            case _:
                return super().content(record)
        buffer = io.BytesIO()
        torch.save(tensors, buffer)
        return buffer.getvalue()


def contract_of(fault: str, made: type[_Case]) -> _Case:
    contract = made()
    contract.exporter, contract.workload = Broken(fault), WORK
    return contract


ZEROED = "test_a_run_that_set_weights_to_zero_is_written"
BITWISE = "test_the_file_holds_every_tensor_of_the_network_bit_by_bit"


@pytest.mark.parametrize(
    "made, fault, test, error, sentence",
    [
        (ExporterContract, "text", ZEROED, AssertionError, "gave a str and not bytes"),
        (ExporterContract, "nothing", ZEROED, AssertionError, "broken.pt is empty"),
        (ExporterContract, "another mode", ZEROED, AssertionError, "was left in another mode"),
        (
            ExporterContract,
            "needs the pruned stage",
            "test_a_run_of_which_only_the_dense_network_was_measured_is_written",
            StopIteration,
            "",
        ),
        (ExporterContract, "plain English only", "test_names_in_any_script_are_written", UnicodeEncodeError, "ascii"),
        (WeightsContract, "half of the network", BITWISE, AssertionError, "tensors came or went"),
        (WeightsContract, "half precision", BITWISE, AssertionError, "0.weight is torch.float16 and was torch.float32"),
        (WeightsContract, "the dense network", BITWISE, AssertionError, "0.weight has other values in the file"),
        (
            WeightsContract,
            "the dense network",
            "test_the_network_that_is_made_from_the_file_gives_what_the_network_gave",
            AssertionError,
            "the loaded network gives something else",
        ),
        (
            WeightsContract,
            "the device in the file",
            "test_equal_networks_give_equal_files",
            AssertionError,
            "two files of the same network differ",
        ),
        (
            WeightsContract,
            "larger tensors",
            "test_of_a_larger_tensor_only_what_the_network_uses_is_written",
            AssertionError,
            "0.weight takes 4000",
        ),
    ],
)
def test_a_broken_exporter_fails_the_test_made_for_it(made, fault, test, error, sentence):
    with pytest.raises(error) as failed:
        getattr(contract_of(fault, made), test)()
    assert sentence in str(failed.value)


@pytest.mark.parametrize(
    "made, test",
    [(made, test) for made in (ExporterContract, WeightsContract) for test in vars(made) if test.startswith("test_")],
)
def test_the_same_exporter_without_a_fault_keeps_the_contract(made, test):
    getattr(contract_of("", made), test)()


@pytest.mark.parametrize(
    "file, sentence",
    [
        ("weights/model.pt", "the name of a file, without a folder"),
        ("../model.pt", "the name of a file, without a folder"),
        ("", "has no ending"),
        ("model", "has no ending"),
        (".model.pt", "has no ending"),
        ("model.safetensors", "model.safetensors is also the file of safetensors"),
    ],
)
def test_a_file_that_cannot_be_that_of_an_exporter_is_named(file, sentence, monkeypatch):
    monkeypatch.setattr(Broken, "file", file)
    with pytest.raises(AssertionError, match=sentence):
        contract_of("", ExporterContract).test_its_file_is_a_plain_name_that_no_other_exporter_writes()


def test_an_exporter_that_has_to_be_told_something_cannot_stand_in_the_table():
    class Told(Broken):
        def __init__(self, digits: int) -> None:
            super().__init__()

    contract = contract_of("", ExporterContract)
    contract.exporter = Told(3)
    with pytest.raises(TypeError, match="digits"):
        contract.test_it_is_made_without_arguments()


def test_a_network_without_channels_says_that_it_tests_nothing():
    contract = contract_of("", ExporterContract)
    contract.workload = one_layer()
    with pytest.raises(Exception, match="channels"):
        contract.test_a_run_that_removed_channels_is_written()


def one_layer() -> Workload:
    return workload(lambda: seeded(lambda: nn.Sequential(nn.Linear(6, 3))), VECTOR)
