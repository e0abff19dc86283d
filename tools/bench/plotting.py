"""Has the chart drawn by a Python of its own, so that matplotlib is in nobody's way."""

import subprocess
import sys
import tempfile
from pathlib import Path

from tools.bench.server import ROOT

VENV = ROOT / ".venv-bench"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "tools" / "bench" / "requirements.txt"
STAMP = VENV / "ticks-requirements"


def prepare() -> None:
    """Installs what draws, where it is missing. Before the measuring: afterwards it would be a pity."""
    wanted = REQUIREMENTS.read_text()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    uv = Path(sys.executable).with_name("uv")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, VENV],
        [uv, "pip", "install", "--quiet", "--python", PYTHON, "-r", REQUIREMENTS],
    ):
        subprocess.run([str(part) for part in command], check=True)  # noqa: S603
    STAMP.write_text(wanted)


def draw(kept: str, to: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ticks-bench-") as directory:
        file = Path(directory) / "bench.json"
        file.write_text(kept)
        program = Path(__file__).with_name("plot.py")
        subprocess.run([str(PYTHON), str(program), str(file), str(to)], check=True)  # noqa: S603
