"""The backend `sd`: stable-diffusion.cpp, whose `sd-server` this project installs, starts and stops."""

from imagegen.backends.sd.backend import SdBackend

__all__ = ["SdBackend"]
