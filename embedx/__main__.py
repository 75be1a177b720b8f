"""``python -m embedx``."""

import sys

from embedx.cli import main

sys.exit(main())
