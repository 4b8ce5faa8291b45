"""LoCoMo to verl's parquet: ``python -m memupdate.data.preprocess_locomo --input locomo10.json --output DIR``.

This is the command of :mod:`memupdate.data.preprocess` under the name of its default dataset.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from memupdate.errors import MemupdateError
from memupdate.extras import missing_extras_named

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. The exit code is 2 for wrong options or data or a missing extra, else 0."""
    try:
        with missing_extras_named():  # also around the import: the core alone has no pyarrow
            from memupdate.data import preprocess

            return preprocess.main(arguments)
    except MemupdateError as error:
        sys.stderr.write(f"memupdate preprocess: {error}\n")
        return 2


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main())
