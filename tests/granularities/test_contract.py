"""The contract of granularities, for every row of the table on every network that has such units."""

import re

import pytest

from pruning.granularities import GRANULARITIES
from pruning.testing import GroupingContract, RemovalContract, UnitsContract
from pruning.testing.granularities import check_every_row_is_accounted_for
from pruning.testing.untouched import untouched
from tests.architectures import ARCHITECTURES
from tests.granularities.applies import APPLIES, ONLY_ZEROED, work_on

CASES = [(granularity, network) for network, there in APPLIES.items() for granularity in there]
REMOVABLE = [case for case in CASES if GRANULARITIES[case[0]].removable and case not in ONLY_ZEROED]


class TestWhatEveryGranularitySays(UnitsContract):
    @pytest.fixture(autouse=True, params=GRANULARITIES)
    def case(self, request: pytest.FixtureRequest) -> None:
        self.granularity = GRANULARITIES[request.param]()


class TestEveryGranularity(GroupingContract):
    @pytest.fixture(autouse=True, params=CASES, ids="-".join)
    def case(self, request: pytest.FixtureRequest) -> None:
        granularity, network = request.param
        self.granularity, self.workload = GRANULARITIES[granularity](), work_on(network)


class TestEveryGranularityWhoseUnitsCanBeRemoved(RemovalContract):
    @pytest.fixture(autouse=True, params=REMOVABLE, ids="-".join)
    def case(self, request: pytest.FixtureRequest) -> None:
        granularity, network = request.param
        self.granularity, self.workload = GRANULARITIES[granularity](), work_on(network)


@pytest.mark.parametrize("granularity, network", sorted(ONLY_ZEROED))
def test_units_that_a_network_cannot_do_without_are_set_to_zero_and_say_why(granularity, network):
    work = work_on(network)
    groups, _ = GRANULARITIES[granularity]().sorted_out(work.build(), work.example)
    said = r"the network does not run without some of its units \(RuntimeError: shape .*\): they are set to zero"
    assert groups and all(re.fullmatch(said, group.fixed) for group in groups)


@pytest.mark.parametrize("network", APPLIES)
def test_a_network_has_no_units_of_any_other_granularity_and_every_row_says_why(network):
    work = work_on(network)
    others = GRANULARITIES.keys() - set(APPLIES[network])
    assert others
    for granularity in sorted(others):
        model = work.build().train()
        with untouched(model):
            groups, reasons = GRANULARITIES[granularity]().sorted_out(model, work.example)
        assert groups == [], f"{granularity} has units here: it belongs into the table"
        check_every_row_is_accounted_for(model, groups, reasons)


def test_the_table_knows_every_granularity_and_every_architecture():
    assert {granularity for granularity, _ in CASES} == GRANULARITIES.keys()
    assert APPLIES.keys() >= ARCHITECTURES.keys()
