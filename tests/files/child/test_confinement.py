"""What is given up step by step: numbers of system calls, the filter's verdicts, and what is said of one that fails."""

import errno
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pruning.files.child import confinement, landlock, seccomp, system_calls
from pruning.files.child.limits import Limits
from pruning.files.child.system_calls import NotHere

HEADERS = (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm-generic/unistd.h"))
MACHINES = (0xC000003E, 0xC00000B7)


@pytest.mark.parametrize("here", [0, 1])
def test_the_numbers_are_those_of_linux(here: int):
    if not HEADERS[here].exists():
        pytest.skip("the headers of the C library are not installed")
    found = dict(re.findall(r"#define (?:__NR|__NR3264)_(\w+) (\d+)", HEADERS[here].read_text()))
    others = {"clone3": seccomp.CLONE3, "tgkill": seccomp.SIGNAL_THREAD, "prlimit64": seccomp.LIMITS}
    for name, numbers in {**seccomp.FORBIDDEN, **others, "seccomp": seccomp.SECCOMP}.items():
        if name in found or numbers[here] is None:  # headers may be older than a call
            assert numbers[here] == (int(found[name]) if name in found else None), name


def verdict(here: int, number: int, arguments: tuple[int, ...] = (0,) * 6, architecture: int | None = None) -> int:
    """What the filter returns, by its four kinds of steps."""
    words = [number, MACHINES[here] if architecture is None else architecture, 0, 0]
    for each in arguments:
        words += [each & 0xFFFFFFFF, each >> 32]
    steps, at, loaded = seccomp.program(here, 77), 0, 0
    while True:
        code, yes, no, value = steps[at]
        if code == 0x06:
            return value
        if code == 0x20:
            loaded = words[value // 4]
            at += 1
        else:
            at += 1 + (yes if (loaded == value if code == 0x15 else loaded >= value) else no)


ALLOWED, REFUSED = 0x7FFF0000, 0x50000 | errno.EPERM


@pytest.mark.parametrize("here", [0, 1])
def test_the_filter_forbids_what_is_listed_and_nothing_else(here: int):
    numbers = {each[here] for each in seccomp.FORBIDDEN.values()} - {None}
    special = {seccomp.CLONE3[here], seccomp.SIGNAL_THREAD[here]}
    for number in range(600):
        if number not in special:
            assert verdict(here, number) == (REFUSED if number in numbers else ALLOWED), number
    assert verdict(here, seccomp.CLONE3[here]) == 0x50000 | errno.ENOSYS
    assert verdict(here, 0, architecture=MACHINES[1 - here]) == REFUSED
    assert verdict(here, 0x40000001) == REFUSED


@pytest.mark.parametrize("here", [0, 1])
def test_a_process_may_end_itself_and_ask_for_its_limits(here: int):
    signal, limits = seccomp.SIGNAL_THREAD[here], seccomp.LIMITS[here]
    assert verdict(here, signal, (77, 0, 6)) == ALLOWED and verdict(here, signal, (78, 0, 6)) == REFUSED
    assert verdict(here, limits, (0, 7, 0, 4096)) == ALLOWED
    assert verdict(here, limits, (0, 7, 4096, 0)) == REFUSED and verdict(here, limits, (0, 7, 2**40, 0)) == REFUSED


def test_what_cannot_be_given_up_is_told_and_the_rest_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    given_up: list[str] = []
    resource = SimpleNamespace(
        RLIM_INFINITY=-1,
        **{name: name for name in ("RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_NPROC")},
        getrlimit=lambda which: (10, 32) if which == "RLIMIT_NOFILE" else (-1, -1),
        setrlimit=lambda which, pair: given_up.append(f"{which} {pair}"),
    )
    monkeypatch.setitem(sys.modules, "resource", resource)
    monkeypatch.setattr(confinement, "_LINUX", True)
    monkeypatch.setattr(confinement, "_mapped", lambda: 1000)
    monkeypatch.setattr(confinement.time, "process_time", lambda: 2.5)
    monkeypatch.setattr(confinement, "_prctl", lambda *_: None)

    def lacking(*_: object) -> None:
        raise NotHere("not in this kernel: Function not implemented")

    monkeypatch.setattr(confinement, "_leave_network", lacking)
    monkeypatch.setattr(landlock, "restrict", lacking)
    monkeypatch.setattr(seccomp, "restrict", lambda: given_up.append("seccomp"))
    missing = confinement.confine(Limits(memory_bytes=24, written_bytes=5, open_files=64), tmp_path, tmp_path)
    assert missing == [
        f"{what}: not in this kernel: Function not implemented" for what in ("network namespace", "landlock")
    ]
    assert given_up == [
        "RLIMIT_CPU (19, 19)",
        "RLIMIT_FSIZE (5, 5)", "RLIMIT_NOFILE (32, 32)", "RLIMIT_AS (1024, 1024)", "RLIMIT_NPROC (0, 0)", "seccomp",
    ]  # fmt: skip


def test_other_systems_say_what_they_do_not_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(confinement, "_LINUX", False)
    monkeypatch.setitem(sys.modules, "resource", None)
    missing = confinement.before_imports() + confinement.confine(Limits(), tmp_path, tmp_path)
    assert [each.split(":")[0] for each in missing] == [
        "dumps of its memory", "processor time", "file size", "open files", "memory, files and network",
    ]  # fmt: skip


def test_a_machine_whose_numbers_are_not_known_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(system_calls.platform, "machine", lambda: "riscv64")
    with pytest.raises(NotHere, match="riscv64"):
        seccomp.restrict()
