"""What every criterion, granularity and exporter owes, as tests: your own inherits them and is tested by pytest.

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
]
