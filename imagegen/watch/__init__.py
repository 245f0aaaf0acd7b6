"""`doit watch`: notice edits, choose what they make stale, and have a `doit` of its own build that."""
