"""Makes the local cluster's modules importable, as its command line does for itself."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
