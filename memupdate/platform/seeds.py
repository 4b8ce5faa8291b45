"""The sampling seed of one generation. It does not depend on the time or order of execution."""

from __future__ import annotations

import hashlib
import json

SEED_BITS = 31


def request_seed(run_seed: int, step: int, prompt: str, rollout_index: int, turn: int) -> int:
    """Returns the sampling seed of one generation. It is the same in a run that was killed and resumed.

    Args:
        run_seed: the run's seed.
        step: the global training step.
        prompt: the prompt's uid, a counter over the prompts of a run. If a step draws a row twice, it has two uids.
        rollout_index: the index of the rollout in its group.
        turn: the index of the assistant turn, from 0.

    Returns:
        A hash of the arguments, with 0 <= seed < 2**31.
    """
    named = json.dumps([run_seed, step, prompt, rollout_index, turn]).encode()
    return int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "big") % (1 << SEED_BITS)
