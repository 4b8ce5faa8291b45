"""SGLang model classes with latents: ``SGLANG_EXTERNAL_MODEL_PACKAGE=memgen.serving.sglang_models`` loads them."""
