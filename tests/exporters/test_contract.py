"""The contract of exporters, for every row of the table."""

import pytest

from pruning.exporters import EXPORTERS
from pruning.run.experiment import WEIGHTS
from pruning.testing import ExporterContract, WeightsContract
from tests.networks import tiny

NETWORKS = ("conv_bn", "residual")


class TestEveryExporter(ExporterContract):
    @pytest.fixture(autouse=True, params=EXPORTERS)
    def case(self, request: pytest.FixtureRequest) -> None:
        self.exporter, self.workload = EXPORTERS[request.param](), tiny("conv_bn", count=32)


class TestEveryExporterWhoseFileHoldsTheNetwork(WeightsContract):
    @pytest.fixture(autouse=True, params=[(kind, network) for kind in WEIGHTS for network in NETWORKS], ids="-".join)
    def case(self, request: pytest.FixtureRequest) -> None:
        kind, network = request.param
        self.exporter, self.workload = EXPORTERS[kind](), tiny(network, count=32)
