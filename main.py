"""``python main.py --cfg-path FILE --options key value`` does what ``run.mode`` of the file says."""

import sys

from memgen.cli import main

sys.exit(main(["run", *sys.argv[1:]]))
