"""A function is called in a process that may do next to nothing, and whatever it does, its caller goes on."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pruning.files.child import Answer, ChildError, Limits, Task, run
from pruning.files.child import parent as parent_side

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems limit less, and say so")


def asked(function: str, folder: Path, content: str = "", limits: Limits | None = None) -> Answer:
    given, out = folder / "given", folder / "out"
    given.write_text(content)
    out.mkdir()
    return run(Task("tests.files.child.tasks", function), given, out, limits)


def reason(function: str, folder: Path, content: str = "", limits: Limits | None = None) -> tuple[str, str]:
    with pytest.raises(ChildError) as caught:
        asked(function, folder, content, limits)
    return caught.value.reason, caught.value.said


def test_the_child_has_the_file_an_empty_folder_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", "of the parent")
    answer = asked("about", tmp_path, "abc")
    about = answer.value
    assert (tmp_path / "out" / "made").read_text() == "abcabc"
    kept = {
        "HOME",
        "TMPDIR",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "LC_CTYPE",
        *parent_side._KEPT,
    }
    assert set(about["environment"]) <= kept
    assert about["folder"] == str(tmp_path / "out")
    assert about["session"] and about["isolated"] and not about["terminal"]
    assert about["open"] <= 4, "its own three, and the folder that it just lists"


@LINUX
def test_what_is_forbidden_fails_or_is_told_as_missing(tmp_path: Path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "secret").write_text("secret")
    answer = asked("attempts", tmp_path, str(tmp_path / "there"))
    if answer.missing:
        pytest.skip(f"this machine cannot do all of it: {answer.missing}")
    assert [name for name, came in answer.value.items() if came == "done"] == []
    assert (tmp_path / "there" / "secret").read_text() == "secret"
    assert (tmp_path / "given").read_text() == str(tmp_path / "there")
    assert [each.name for each in (tmp_path / "there").iterdir()] == ["secret"]


@LINUX
def test_too_much_memory(tmp_path: Path):
    assert asked("memory", tmp_path, str(2**24), Limits(memory_bytes=2**27)).value == 2**24
    (tmp_path / "again").mkdir()
    assert reason("memory", tmp_path / "again", str(2**28), Limits(memory_bytes=2**27))[0] == "memory"


def test_a_function_that_never_returns_is_ended_with_its_process(tmp_path: Path):
    began = time.monotonic()
    assert reason("for_ever", tmp_path, limits=Limits(seconds=0.5)) == ("time", "")
    assert (tmp_path / "out" / "began").exists() and time.monotonic() - began < 30
    assert not any(_is(each, tmp_path / "out") for each in Path("/proc").glob("[0-9]*/cwd"))


def _is(link: Path, folder: Path) -> bool:
    try:
        return link.readlink() == folder
    except OSError:
        return False


def test_a_child_that_does_not_come_up_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parent_side, "UP_S", 0.0)
    assert reason("about", tmp_path) == ("start", "not up after 0 s")


@LINUX
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path):
    (tmp_path / "given").touch()
    (tmp_path / "out").mkdir()
    code = "import sys; from pathlib import Path; from pruning.files.child import *; "
    code += "run(Task('tests.files.child.tasks', 'for_ever'), *map(Path, sys.argv[1:]))"
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "given"), str(tmp_path / "out")])
    _wait_for(lambda: (tmp_path / "out" / "began").exists())
    parent.kill()
    parent.wait()
    _wait_for(lambda: not any(_is(each, tmp_path / "out") for each in Path("/proc").glob("[0-9]*/cwd")))


def _wait_for(what, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


@LINUX
def test_a_file_that_grows_too_large(tmp_path: Path):
    assert reason("large_file", tmp_path, str(2**21), Limits(written_bytes=2**20))[0] == "space"
    assert (tmp_path / "out" / "large").stat().st_size <= 2**20


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("refuses", ("refused", "it holds nothing; fill it")),
        ("fails", ("fault", "ZeroDivisionError: of no use to anybody")),
        ("dies", ("death", "signal 6")),
        ("returns_no_plain_value", ("fault", "TypeError: Object of type object is not JSON serializable")),
        ("talks", ("fault", "its answer cannot be read")),
        ("is_not_there", ("start", "exit code 1")),
    ],
)
def test_how_else_a_child_ends(tmp_path: Path, function: str, expected: tuple[str, str]):
    assert reason(function, tmp_path) == expected


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b"{}",
        b'{"value": 1}',
        b'{"missing": 3}',
        b'{"reason": "other", "said": "", "missing": []}',
        b"[" * 9999,
    ],
)
def test_an_answer_that_is_none_is_a_fault(said: bytes):
    with pytest.raises(ChildError) as caught:
        parent_side._answer(said, 0)
    assert caught.value.reason == "fault"


def test_the_module_says_what_this_machine_lacks(tmp_path: Path):
    done = subprocess.run([sys.executable, "-m", "pruning.files.child"], capture_output=True, text=True, check=False)
    missing = asked("about", tmp_path).missing
    assert done.stdout.splitlines() == [f"not limited: {each}" for each in missing]
    assert done.returncode == bool(missing) and not done.stderr
