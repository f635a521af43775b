"""The model cards of the weights that ship with the project, and how their files are read. No torch."""

import dataclasses
import json
from pathlib import Path

from pruning.errors import WorkloadError

FOLDER = Path(__file__).parent / "weights"


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """Where a sample model comes from and what it was measured to do. Accuracies lie in [0, 1], MACs per image."""

    name: str
    data: str
    train_size: int
    validation_size: int
    test_size: int
    seed: int
    command: str
    recipe: str
    epochs: int
    torch: str
    device: str
    threads: int
    train_minutes: float
    validation_accuracy: float
    test_accuracy: float
    parameters: int
    macs: int
    sha256: str


def wrong(file: str, what: str) -> WorkloadError:
    name = file.partition(".")[0]
    path = f"sample_models/weights/{file}"
    return WorkloadError(
        f"{path} {what}; restore it with `git checkout -- {path}` "
        f"or train it anew with `python -m sample_models.train {name}`"
    )


def read(file: str, folder: Path) -> bytes:
    try:
        return (folder / file).read_bytes()
    except FileNotFoundError:
        raise wrong(file, "is missing") from None
    except OSError as error:
        raise wrong(file, f"cannot be read ({error.strerror})") from error


def card(name: str, folder: Path = FOLDER) -> ModelCard:
    """The model card of a sample model; reads neither the data nor the weights."""
    file = f"{name}.json"
    try:
        return ModelCard(**json.loads(read(file, folder)))
    except (TypeError, ValueError) as error:  # TypeError: a field is missing or unknown
        raise wrong(file, "is not a model card of this version of the project") from error
