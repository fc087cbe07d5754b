"""For every run of pytest: notebook outputs are compared with the tolerance that cell tags give."""

import sys
from pathlib import Path

# pytest imports a plugin by its name, so its folder must be on the path first.
sys.path.insert(0, str(Path(__file__).resolve().parent / "tests"))

pytest_plugins = ["tolerance"]
