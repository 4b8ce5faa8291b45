"""What latent methods are made from: decoder access, adapters and their files, caches, sampling, chat prompts.

This room needs torch, transformers and peft. It imports no method, and neither Ray nor verl nor SGLang.
"""
