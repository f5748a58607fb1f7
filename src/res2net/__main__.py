"""``python -m res2net``: the command line, as torchrun starts it."""

import sys

from res2net.cli.main import main

sys.exit(main())
