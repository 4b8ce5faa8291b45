"""LoCoMo to verl's parquet: ``python -m memupdate.data.preprocess_locomo --input locomo10.json --output DIR``.

This is the command of :mod:`memupdate.data.preprocess` under the name of its default dataset.
"""

from __future__ import annotations

import logging
import sys

from memupdate.data.preprocess import main

__all__ = ["main"]

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main())
