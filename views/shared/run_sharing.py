"""What is said of a run whose computation several people share."""

from pruning.execution.store.ownership import seen, shown_name
from pruning.execution.store.records import RunRow
from views.shared.language import _
from views.shared.person import person, who
from views.shared.plain_text import plain
from views.shared.server import backend


def shared_with(row: RunRow) -> str:
    """With whose run it shares its computation; "" where with nobody's. A person whose run is private is not named."""
    others = backend().store.sharers(row)
    known = seen(others, who())
    if mine := next((other for other in known if other.session == person()), None):
        return _("The same as your run {run}: carried out once.").format(run=mine.id)
    names = [name for name in dict.fromkeys(shown_name(other.session) for other in known) if name]
    if names:
        more = _(" and {n} more").format(n=len(names) - 1) if len(names) > 1 else ""
        return _("The same as the run of {name}{more}: carried out once.").format(name=plain(names[0], 60), more=more)
    if known or (others and row.carrier != row.id):
        return _("The same as the run of somebody else: carried out once.")
    return ""


def goes_on_for_others(row: RunRow) -> bool:
    """Whether the run, stopped here, goes on because others wait for it too."""
    return any(not other.over for other in backend().store.sharers(row))
