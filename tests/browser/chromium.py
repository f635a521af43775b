"""Where the browser is: `PRUNING_CHROMIUM`, one on the PATH, or playwright's own. As a module: exit 1 without one."""

import os
import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find() -> str | None:
    """Path of a Chromium, or None."""
    candidates = [os.environ.get("PRUNING_CHROMIUM"), *map(shutil.which, NAMES)]
    if found := next((path for path in candidates if path and Path(path).exists()), None):
        return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    return str(own) if own.exists() else None


if __name__ == "__main__":
    browser = find()
    print(browser or "no Chromium found")
    sys.exit(0 if browser else 1)
