"""The page that compares criteria side by side."""
