"""What the child does with a .pt file, called here: only what somebody made to get past the first look reaches it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pruning.errors import WorkloadError
from pruning.files.state_dict_task import MADE, to_safetensors


@pytest.fixture(autouse=True)
def threads():
    """The child computes with one thread; other tests with as many as before."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def converted(value: Any, folder: Path) -> dict[str, torch.Tensor]:
    torch.save(value, folder / "given.pt")
    to_safetensors(folder / "given.pt", folder)
    return load_file(folder / MADE)


def test_views_and_ties_become_tensors_of_their_own(tmp_path: Path):
    whole = torch.arange(12.0).reshape(3, 4)
    tensors = {"whole": whole, "tied": whole, "turned": whole.t(), "row": whole[1]}
    found = converted(tensors, tmp_path)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert (tmp_path / MADE).stat().st_size < 1000


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1], "not a state dict"),
        ({1: torch.zeros(2)}, "a key of it is a int and not a name"),
        ({"w": 3}, "w is a int and no plain tensor"),
        ({"w": torch.zeros(2, 2).to_sparse()}, "w is no dense tensor"),
        ({"w": torch.zeros(2, 2).to_sparse_csr()}, "w is no dense tensor"),
        ({"w": torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.qint8)}, "w is no dense tensor"),
        ({"w": torch.zeros(2, dtype=torch.complex64)}, "w is no dense tensor of real numbers"),
        ({"w": torch.empty(2, device="meta")}, "w is no dense tensor of real numbers in memory"),
        ({"w": torch.zeros(1).expand(10**6, 10**6)}, "w shows values several times"),
        (
            {"w": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(1)], layout=torch.strided)},
            "w is no dense tensor",
        ),
    ],
    ids=str,
)
def test_what_is_not_plain_is_refused_by_name(tmp_path: Path, value: Any, words: str):
    with pytest.raises(WorkloadError, match=words):
        converted(value, tmp_path)
    assert not (tmp_path / MADE).exists()
