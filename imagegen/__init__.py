"""Make for generated art: an incremental build of images, on doit."""

__version__ = "0.1.0"
