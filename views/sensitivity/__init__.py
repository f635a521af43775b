"""The page of the sensitivity map and the cuts that it suggests."""
