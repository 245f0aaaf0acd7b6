"""The backend `ollama`: images through Ollama's command line."""

from imagegen.backends.ollama.backend import OllamaBackend

__all__ = ["OllamaBackend"]
