"""The page that shows what a slider position prunes, layer by layer."""
