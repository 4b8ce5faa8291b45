"""Serving latent memory: from SGLang (a folder to serve, the model class inside the server), from the project's torch
server, and the client of both.

Only ``memgen.serving.sglang_models`` imports SGLang, and only the server loads it.
"""

from memgen.serving.client import LatentClient, ServerAnswer, http_transport
from memgen.serving.export import export_for_sglang
from memgen.serving.torch_model import LatentServedModel

__all__ = ["LatentClient", "LatentServedModel", "ServerAnswer", "export_for_sglang", "http_transport"]
