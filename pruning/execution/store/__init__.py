"""Turns runs and their events into rows and folders on the disk, and back. Knows nothing of workers or networks."""
