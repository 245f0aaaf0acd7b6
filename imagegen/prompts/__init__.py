"""Prompt sources: files that yield items."""
