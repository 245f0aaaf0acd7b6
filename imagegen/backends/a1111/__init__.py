"""The backend `a1111`: a server with A1111's API: A1111 itself, Forge, SD.Next, koboldcpp, sd-server, Draw Things."""

from imagegen.backends.a1111.backend import A1111Backend

__all__ = ["A1111Backend"]
