"""Settings that all tests share."""

import os

import torch
from hypothesis import HealthCheck, settings

from pruning.api import score_units
from pruning.evaluation import accuracy
from pruning.interactive import session
from pruning.layer_sensitivity import analysis
from pruning.level_search.latency import layer_times
from pruning.pipeline import eligibility
from pruning.run import engine
from tests.remembered import remembering

# the same examples every time and no stopwatch: the machine may be busy. `benchmarks selection` runs the properties of
# the selection on many more
PROFILE = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("project", PROFILE)
settings.load_profile("project")

# a stage's latency is measured some hundred times here, and only the tests of latency look at it
accuracy.WARM_UP, accuracy.TIMED = 1, 3
layer_times.LONG_S = 0.0  # the fewest turns

# what falls together in a network is found once for each, but where that is what is tested
for module in (eligibility, analysis, session, score_units):
    module.scorable_groups = remembering(module.scorable_groups)

# most networks here are as they were drawn, and guess: a note in every run would say so
engine.guessing = lambda *_: ""

# the networks here are so small that a second thread only waits for the first
torch.set_num_threads(1)

# the server of a test keeps no 64 MB of the disk free
os.environ.setdefault("PRUNING_DISK_RESERVE_MB", "1")
