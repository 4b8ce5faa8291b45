"""Serving latent memory from SGLang: a folder to serve, the model class inside the server, the client beside it.

Only ``memgen.serving.sglang_models`` imports SGLang, and only the server loads it.
"""

from memgen.serving.client import LatentClient, ServerAnswer, http_transport
from memgen.serving.export import export_for_sglang

__all__ = ["LatentClient", "ServerAnswer", "export_for_sglang", "http_transport"]
