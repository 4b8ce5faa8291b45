"""``python -m memupdate``."""

import sys

from memupdate.cli import main

sys.exit(main())
