"""What a program of one's own uses, and the commands use too: a project, its plan, and what becomes of its images.

`imagegen` itself has the names that are public: see docs/library.md.
"""
