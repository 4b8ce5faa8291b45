"""Runs at the interpreter start of the SGLang server and of its child processes."""

import sys

# multiprocessing's resource tracker does not need torch; skipping the import saves 150 MB and 2 s
if "resource_tracker" not in " ".join(sys.orig_argv):
    import sgl_kernel  # noqa: F401

    from memupdate.platform import batch_invariant

    batch_invariant.enable_if_asked()
