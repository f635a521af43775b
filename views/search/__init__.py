"""The page on which the machine chooses how much of each layer goes."""
