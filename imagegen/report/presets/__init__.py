"""The page that shows what presets do."""
