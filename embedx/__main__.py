"""``python -m embedx``."""

import sys

from embedx.cli.main import main

sys.exit(main())
