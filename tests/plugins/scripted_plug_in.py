"""What the plug-in's entry point names: one module, since a run looks at all files of a plug-in's package."""

from tests.scripted import ScriptedBackend

__all__ = ["ScriptedBackend"]
