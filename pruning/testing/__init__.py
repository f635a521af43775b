"""What every criterion, granularity, exporter and workload owes, as tests that your own inherits and pytest finds.

    from pruning.testing import CriterionContract

    class TestEnergy(CriterionContract):
        criterion = Energy(power=2)
        workload = my_workload()

Nothing here imports pytest. For the values in its messages say `pytest.register_assert_rewrite("pruning.testing")` in
conftest.py, before the import.
"""

from pruning.testing.criteria import CriterionContract, DescriptionContract, ScoringContract
from pruning.testing.exporters import ExporterContract, WeightsContract
from pruning.testing.granularities import GranularityContract, GroupingContract, RemovalContract, UnitsContract
from pruning.testing.workloads import WorkloadContract

__all__ = [
    "CriterionContract",
    "DescriptionContract",
    "ExporterContract",
    "GranularityContract",
    "GroupingContract",
    "RemovalContract",
    "ScoringContract",
    "UnitsContract",
    "WeightsContract",
    "WorkloadContract",
]
