"""The contract of workloads, for every sample model."""

import pytest

from pruning.testing import WorkloadContract
from sample_models import MODELS


class TestEverySampleModel(WorkloadContract):
    @pytest.fixture(autouse=True, params=MODELS)
    def case(self, request: pytest.FixtureRequest) -> None:
        self.workload = MODELS[request.param]()
