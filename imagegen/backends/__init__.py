"""Adapters that turn a request into an image. Only this room talks to a generator."""
