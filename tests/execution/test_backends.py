"""Which backend the server starts, as the environment says."""

import sys
from contextlib import closing
from pathlib import Path

import pytest

from pruning.errors import JobError
from pruning.execution.backends import made_backend
from pruning.execution.local_backend import LocalBackend


def test_this_machines_processes_unless_told_otherwise(tmp_path: Path):
    for environment in ({}, {"PRUNING_BACKEND": ""}, {"PRUNING_BACKEND": "local"}):
        with closing(made_backend(tmp_path, environment)) as backend:
            assert isinstance(backend, LocalBackend) and backend.workers == 1
    with closing(made_backend(tmp_path, {"PRUNING_BACKGROUND": "2"})) as backend:
        assert backend.workers == 2


def test_an_unknown_backend_is_said(tmp_path: Path):
    with pytest.raises(JobError, match="PRUNING_BACKEND is 'dask'; set it to one of local, ray, or to nothing"):
        made_backend(tmp_path, {"PRUNING_BACKEND": "dask"})


def test_a_missing_ray_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "pruning.execution.ray_cluster.backend", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(JobError, match=r"Ray is not installed; run pip install -r requirements-ray\.txt"):
        made_backend(tmp_path, {"PRUNING_BACKEND": "ray"})
