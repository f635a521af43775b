"""Settings that all tests share."""

import torch
from hypothesis import HealthCheck, settings

# the same examples every time and no stopwatch: the machine may be busy. `benchmarks selection` runs the properties of
# the selection on many more
PROFILE = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("project", PROFILE)
settings.load_profile("project")

# the networks here are so small that a second thread only waits for the first
torch.set_num_threads(1)
