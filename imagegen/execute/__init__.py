"""From stale outputs to files in place: executors, and one image's way through them."""
