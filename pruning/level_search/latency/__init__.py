"""How long a pass takes, by how many units of each group are left: measured on this machine, or read from a file."""
