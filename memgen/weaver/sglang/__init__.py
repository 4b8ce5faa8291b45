"""SGLang model classes with latents. ``SGLANG_EXTERNAL_MODEL_PACKAGE=memgen.weaver.sglang`` makes SGLang load them."""
