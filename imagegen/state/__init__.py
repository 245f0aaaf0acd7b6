"""What is kept on disk: lock files, the store, remembered hashes, and the build's own mutex."""
