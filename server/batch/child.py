"""The server of a batch: `python -m paddock.server.batch.child PARENT_PID` and what follows `paddock serve`."""

import os
import sys

from paddock.engine.lifeline import die_with_parent
from paddock.server.cli.serve import serve

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    sys.exit(serve(sys.argv[2:], os.environ))
