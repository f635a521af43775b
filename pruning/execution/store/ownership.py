"""Whose a run is, and who may change it."""

import getpass


def machine_user() -> str:
    """The person who sits at this machine: who the command line and a page without a door work for."""
    try:
        return f"machine-{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return "machine-user"
