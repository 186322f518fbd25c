"""`python -m paddock.server serve MODEL` is `paddock serve MODEL`."""

import sys

from paddock.server.cli.main import main

sys.exit(main())
