"""Building blocks of latent methods: decoder access, adapters and their files, caches, sampling, chat prompts.

This package needs torch, transformers and peft. It imports no method and does not import Ray, verl or SGLang.
"""
