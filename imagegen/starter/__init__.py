"""`imagegen init`: what a folder needs to be a project. Adds what is missing, and never changes what is there."""
