"""pruning.load: the model that an exported file holds."""

from pathlib import Path

import torch
from torch import Tensor, nn

from pruning.api.inputs import without_data
from pruning.errors import WorkloadError
from pruning.exporters.loading import load_network
from pruning.exporters.reading import read_network
from pruning.files.shown import shown
from pruning.workload import Workload


def load(
    file: str | Path,
    model: nn.Module | Workload,
    *,
    example: Tensor | None = None,
    device: str | torch.device = "cpu",
) -> nn.Module:
    """The model that a file holds, as small as its tensors are.

    Args:
        file: model.safetensors or model.pt, as `save` writes them; no code in it is run. A .pt file, whose pickle torch
            has to follow, is read by a process of its own with limits, which takes some seconds.
        model: The model before it was pruned (its weights do not matter), or its Workload.
        example: One input [1, *input], for a model whose first layer is not Linear.
        device: Where the model shall be.

    Returns:
        A new module in eval mode with the file's weights; the given one stays as it is.

    Raises:
        WorkloadError: The file cannot be read, or is not of this model.

    Examples:
        >>> import tempfile
        >>> from torch import nn
        >>> from safetensors.torch import save_file
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     small = nn.Sequential(nn.Linear(6, 2), nn.ReLU(), nn.Linear(2, 3))
        ...     save_file(small.state_dict(), f"{folder}/model.safetensors")
        ...     load(f"{folder}/model.safetensors", nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)))
        Sequential(
          (0): Linear(in_features=6, out_features=2, bias=True)
          (1): ReLU()
          (2): Linear(in_features=2, out_features=3, bias=True)
        )

    Source:
        The format: https://huggingface.co/docs/safetensors
    """
    path = Path(file).expanduser()
    workload = without_data(model, example)
    tensors, sizes = read_network(path)
    try:
        return load_network(workload, tensors, torch.device(device), sizes)
    except WorkloadError as error:
        raise WorkloadError(f"{shown(path.name)}: {error}") from error
