"""Job files and settings: reading them strictly, and checking them."""
