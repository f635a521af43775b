"""What the person at the page changes."""

from pruning.execution.own_changes import OwnChanges
from views.shared.person import who
from views.shared.server import backend


def changes() -> OwnChanges:
    """What this person may change. Nothing else in the pages changes a run, a sweep or a halving."""
    return OwnChanges(backend(), who())
