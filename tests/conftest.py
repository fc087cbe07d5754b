"""What holds for all tests: the network stays off. A test with an endpoint of its own sets
the variables itself.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Set before any library reads them, and inherited by the processes that tests start.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

sys.path.insert(0, str(ROOT / "scripts"))  # the scripts are tested, but not installed
