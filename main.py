"""``python main.py --cfg-path configs/latent_memory/gsm8k.yaml --options k v``: what ``run.mode`` of the file says."""

import sys

from memgen.cli import main

sys.exit(main(["run", *sys.argv[1:]]))
