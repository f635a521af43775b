"""A wheel of the project, and a fresh environment that it is installed into.

The big packages are those of the environment that runs the tests, reached by a .pth file: what is tried is our wheel,
outside the repository. `python -m tests.packaging.installed DIST` builds a wheel into a folder.
"""

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPTS, SUFFIX = ("Scripts", ".exe") if sys.platform == "win32" else ("bin", "")


@dataclass(frozen=True)
class Installed:
    """The environment, and a folder outside the repository to work in."""

    scripts: Path
    folder: Path

    @property
    def python(self) -> str:
        return str(self.scripts / f"python{SUFFIX}")

    @property
    def command(self) -> str:
        return str(self.scripts / f"pruning-explorer{SUFFIX}")

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of this repository can be imported by way of it; runs are kept in the folder."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return {**kept, "PRUNING_HOME": str(self.folder / "home")}

    def run(self, *command: str) -> str:
        """What the command prints to stdout; an AssertionError with all that it printed if it fails."""
        ended = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


def build(folder: Path) -> Path:
    """The wheel, made from the repository as it is."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Installed:
    """The wheel alone, without what it depends on, in a new environment."""
    venv.create(folder / "environment")
    installed = Installed(folder / "environment" / SCRIPTS, folder)
    command = [sys.executable, "-m", "pip", "--python", installed.python, "install", "--quiet", "--no-deps"]
    subprocess.run([*command, "--no-index", str(wheel)], check=True)
    asked = installed.run(installed.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    packages = Path(asked.strip())
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib"))
    return installed


if __name__ == "__main__":
    print(build(Path(sys.argv[1]).resolve()))
