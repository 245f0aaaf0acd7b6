"""Image files: checking them, reading and writing what they say of themselves, encoding them."""
