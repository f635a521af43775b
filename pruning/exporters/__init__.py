"""Turns a finished run into files that can be loaded and verified again. Knows nothing of how the run was carried out.

One file an exporter, one line in the table.
"""

from pathlib import Path

from pruning.exporters.exporter import Exporter, Record
from pruning.exporters.narrow_layers_py import NarrowLayersPy
from pruning.exporters.recipe_json import RecipeJson
from pruning.exporters.report import Report, missing_packages
from pruning.exporters.weights_pt import Pt
from pruning.exporters.weights_safetensors import Safetensors
from pruning.files.atomic_write import require_writable, write_whole

EXPORTERS: dict[str, type[Exporter]] = {
    "safetensors": Safetensors,
    "pt": Pt,
    "narrow_layers": NarrowLayersPy,
    "recipe": RecipeJson,
    "report": Report,
}

__all__ = ["EXPORTERS", "Exporter", "Record", "export", "kinds_of", "missing_packages", "require_writable"]


def kinds_of(record: Record) -> list[str]:
    """The kinds of files that the run leaves: all, but the classes of narrow layers only where the network has some."""
    return [kind for kind in EXPORTERS if kind != "narrow_layers" or record.sizes.classes]


def export(kind: str, record: Record, folder: Path) -> Path:
    """Write the artefact into the folder and return its path. ExportError if the folder cannot be written to."""
    exporter = EXPORTERS[kind]()
    path = folder / exporter.file
    write_whole(path, exporter.content(record))
    return path
