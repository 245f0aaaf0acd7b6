"""Make for generated art: an incremental build of images, on doit."""

__version__ = "0.1.0"
DISTRIBUTION = "doit-imagegen"
"""What pip calls this package. `imagegen` on the Python package index is somebody else's."""
