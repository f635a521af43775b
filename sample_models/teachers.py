"""Who can teach the sample models while they are tuned: the one with the highest test accuracy."""

from sample_models import fashion_resnet

TEACHERS = {fashion_resnet.NAME: fashion_resnet.build}
"""Name -> maker of the trained network."""
