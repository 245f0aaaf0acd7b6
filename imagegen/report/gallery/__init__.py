"""The gallery: one folder to look at every image with, in a browser and without a server."""
