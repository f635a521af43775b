"""The exporter of docs/how-to/add-an-exporter.md: it keeps the contract, and once in the table every run writes it."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pruning.exporters import EXPORTERS, Exporter, export
from pruning.testing import ExporterContract
from tests.exporters.records import record
from tests.networks import tiny

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-an-exporter.md"


@pytest.fixture(scope="module")
def layers_csv(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Exporter]]:
    (source,) = re.findall(
        r"^```python[^\n]*layers_csv\.py\"\n(.*?class LayersCsv.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S
    )
    file = tmp_path_factory.mktemp("added") / "added_layers_csv.py"
    file.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("added_layers_csv", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EXPORTERS, "layers", module.LayersCsv)
        yield module.LayersCsv


class TestLayersCsv(ExporterContract):
    @pytest.fixture(autouse=True)
    def case(self, layers_csv: type[Exporter]) -> None:
        self.exporter, self.workload = layers_csv(), tiny("conv_bn", count=32)


def test_the_file_has_a_line_for_every_tensor(layers_csv, tmp_path):
    run = record()
    with torch.no_grad():
        run.model.get_parameter("0.bias").copy_(torch.tensor([0.0, 1.0, 0.0, 2.0]))
    lines = export("layers", run, tmp_path).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "tensor,shape,nonzero" and "0.bias,4,2" in lines
    assert len(lines) == 1 + len(run.model.state_dict())
