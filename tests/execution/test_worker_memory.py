"""How much memory a worker may take, and how it is measured."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from pruning.execution import worker_memory
from pruning.execution.settings import Limits
from pruning.execution.worker_memory import MB, allowed_bytes, resident_bytes

HOLDS = "import sys; kept = bytearray(b'x') * (200 * 2**20); print('ready', flush=True); sys.stdin.read()"
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDS!r}])"


def test_what_the_environment_says_else_a_share_of_the_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_memory, "machine_bytes", lambda: 10_000 * MB)
    assert allowed_bytes(Limits(worker_memory_mb=700)) == 700 * MB
    assert allowed_bytes(Limits()) == allowed_bytes(Limits(run_workers=2)) == 4500 * MB
    assert allowed_bytes(Limits(run_workers=9)) == 1000 * MB


def test_a_container_has_less_than_the_machine(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=8000 * MB))
    for text, found in ((str(3000 * MB), 3000), ("max", 8000), (str(2**63), 8000)):
        (tmp_path / "memory.max").write_text(text)
        monkeypatch.setattr(worker_memory, "_CGROUPS", (tmp_path / "none", tmp_path / "memory.max"))
        assert worker_memory.machine_bytes() == found * MB


@pytest.mark.parametrize("code", [HOLDS, CHILD])
def test_memory_of_children_counts(code: str):
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        assert 200 * MB <= resident_bytes(process.pid) < 300 * MB
        process.communicate()
    assert resident_bytes(process.pid) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only what is taken is measured")
def test_far_more_than_it_may_take_is_refused_inside_the_worker():
    code = (
        "from pruning.execution.worker_memory import hold_back\n"
        "hold_back(300 * 2**20)\n"
        "print(open('/proc/self/oom_score_adj').read().strip())\n"
        "kept = bytearray(700 * 2**20)\n"
        "try: bytearray(700 * 2**20)\n"
        "except MemoryError: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert done.stdout.split() == ["500", "refused"], done.stderr


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="GNU's allocator alone keeps it"
)
def test_what_was_freed_below_what_lives_goes_back_to_the_system():
    code = (
        "import psutil\n"
        "from pruning.execution.worker_memory import give_back\n"
        "taken = lambda: psutil.Process().memory_info().rss >> 20\n"
        "kept = [bytes(100_000) for _ in range(2000)]\n"  # pieces that lie in the heap, one after the other
        "kept[:-1] = []\n"
        "before = taken()\n"
        "give_back()\n"
        "print(before - taken())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert int(done.stdout) > 100, done.stderr
