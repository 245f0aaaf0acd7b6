"""The backend `comfyui`: a ComfyUI server, its workflows and models, its life and its set-up."""

from imagegen.backends.comfyui.backend import ComfyUIBackend

__all__ = ["ComfyUIBackend"]
