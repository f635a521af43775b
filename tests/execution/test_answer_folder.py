import os
import subprocess
import sys
from pathlib import Path

from pruning.execution.answer_folder import answer_folder


def test_each_server_has_a_folder_of_its_own_for_its_own_eyes(tmp_path: Path):
    first, second = answer_folder(tmp_path), answer_folder(tmp_path)
    assert first != second and first.is_dir() and second.is_dir()
    assert first.parent.parent == tmp_path and first.name.startswith(f"{os.getpid()}-")
    if sys.platform != "win32":
        assert first.stat().st_mode & 0o077 == 0


def test_what_a_dead_server_left_goes_and_what_others_use_stays(tmp_path: Path):
    mine = answer_folder(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, foreign = mine.with_name(f"{dead.pid}-abc"), mine.with_name("notes")
    for folder in (left, foreign):
        folder.mkdir()
        (folder / "file").touch()
    answer_folder(tmp_path)
    assert not left.exists() and mine.exists() and (foreign / "file").exists()
