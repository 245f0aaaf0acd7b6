"""The project's commands, one file each: its options, its work and its words."""
