"""The programs that measured data/results. Run one from the repository's root with
`python -m experiments.NAME`; README.md lists them.
"""

import os
import sys
from pathlib import Path

# Some programs run notebooks or write the README's tables. The modules for that lie in scripts/,
# which is no package.
sys.path.append(str(Path(__file__).resolve().parent.parent / "scripts"))

# Read when torch loads. Threads that wait must sleep: busy waiting stalls cores that are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
