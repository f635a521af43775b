"""Whether the disk takes what a run writes: asked by writing, and with a reserve that is given up when it is full."""

import math
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

MB = 2**20
AGAIN_S = 1.0
_PROBE_BYTES = 4096


class DiskRoom:
    """The room in one home. `look` writes; the two sentences are what the last look of this process has found.

    The reserve is a file. Whoever cannot even write down that a run waits deletes it first, and the next look writes it
    again: no run is taken before that has worked.
    """

    def __init__(self, home: Path, reserve_mb: int) -> None:
        self.shortage = ""
        """Why no run is taken now; "" if there is room for the next one."""
        self.unwritable = ""
        """Why not even what goes on can be written; "" if it can."""
        self._home = home
        self._reserve = reserve_mb * MB
        self._file = home / "disk.reserve"
        self._lock = threading.Lock()
        self._looked = -math.inf

    def look(self) -> str:
        """Try to write, and see to it that the reserve is there; returns the shortage. At most once a second anew."""
        with self._lock:
            if time.monotonic() - self._looked < AGAIN_S:
                return self.shortage
            self._looked = time.monotonic()
            self.unwritable = self._written(self._home / f"disk.{os.getpid()}.probe", _PROBE_BYTES, keep=False)
            self.shortage = self.unwritable or self._kept_reserve()
        return self.shortage

    def give_up_reserve(self) -> None:
        """Make room for a few words."""
        with suppress(OSError):
            self._file.unlink()

    def waiting_for(self, needs: int) -> str:
        """Why a run that needs so many bytes besides the reserve does not go on; "" if it can."""
        if self.shortage:
            return self.shortage
        return _sentence(self.free(), needs) if needs > self.free() else ""

    def free(self) -> int:
        """Bytes that are free besides the reserve; none where the disk does not say."""
        try:
            return shutil.disk_usage(self._home).free
        except OSError:
            return 0

    def needed_by(self, folder: Path, needed: int) -> int:
        """What to wait for, once it was not enough that `needed` bytes were free: twice as much as what is there now.

        What could not be written is about as large as what was written before: the files in the run's folder. So the
        doubling has an end, for somebody else may have filled the disk each time.
        """
        there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        with suppress(OSError):
            most = shutil.disk_usage(self._home).total // 2
            return min(2 * max(needed, there, self._reserve), max(8 * there, 16 * self._reserve), most)
        return needed

    def _kept_reserve(self) -> str:
        """Write the reserve if it is not there; why that is impossible, in a sentence."""
        with suppress(OSError):
            if self._file.stat().st_size == self._reserve:
                return ""
        if self.free() < self._reserve:
            return _sentence(self.free(), self._reserve)
        return self._written(self._file, self._reserve, keep=True)

    def _written(self, path: Path, size: int, keep: bool) -> str:
        try:
            with path.open("wb") as file:
                for written in range(0, size, MB):
                    file.write(bytes(min(MB, size - written)))
                file.flush()
                os.fsync(file.fileno())
            if not keep:
                path.unlink()
        except OSError as error:
            with suppress(OSError):
                path.unlink()
            return _sentence(self.free(), max(size, self._reserve), error.strerror or "it cannot be written")
        return ""


def _sentence(free: int, needed: int, reason: str = "") -> str:
    why = f" ({reason})" if reason else ""
    return f"waiting for room on the disk: {free // MB} MB free, {-(-needed // MB)} MB needed{why}"
