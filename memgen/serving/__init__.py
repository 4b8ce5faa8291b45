"""Serving of latent methods: requests to an SGLang server, and the export of checkpoints for it.

A method defines its own model class for SGLang and its own client in its package.
"""

from memgen.base.server import Send, ServerAnswer
from memgen.serving.export import export_for_sglang
from memgen.serving.http import http_transport

__all__ = ["Send", "ServerAnswer", "export_for_sglang", "http_transport"]
