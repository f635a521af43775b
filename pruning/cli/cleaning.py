"""`clean`: old runs that nobody pinned, unfinished files and old logs go."""

from pruning.execution.store.cleaning import clean as clean_up
from pruning.execution.store.store import Store, default_home
from pruning.reporting.formatting import si


def clean(older_than: float, keep_pinned: bool, dry_run: bool) -> None:
    """Clean the home, or say what would go."""
    store = Store(default_home())
    freed = clean_up(store, older_than, keep_pinned, dry_run)
    store.close()
    for run in freed.runs:
        print(run)
    what = "would be deleted" if dry_run else "are deleted"
    print(f"{len(freed.runs)} runs and {len(freed.files)} unfinished files and old logs {what}: {si(freed.bytes, 'B')}")
