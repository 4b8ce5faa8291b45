"""Serving latent memory: what a client sends to an SGLang server, and the folder that the server loads.

A method brings its own model class for SGLang and its own client; see its room.
"""

from memgen.base.server import Send, ServerAnswer
from memgen.serving.export import export_for_sglang
from memgen.serving.http import http_transport

__all__ = ["Send", "ServerAnswer", "export_for_sglang", "http_transport"]
