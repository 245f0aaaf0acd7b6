"""The backend `openai`: a server with OpenAI's images API, hosted or one's own."""

from imagegen.backends.openai.backend import OpenAIBackend

__all__ = ["OpenAIBackend"]
