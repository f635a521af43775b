"""Where the pages lie: what `st.switch_page` and `st.page_link` take.

Absolute, because the script that is started may be `app.py` in the root or the installed `views/app.py`.
"""

from pathlib import Path

_VIEWS = Path(__file__).parents[1]

LAB = _VIEWS / "lab" / "lab.py"
COMPARE = _VIEWS / "compare" / "compare.py"
SENSITIVITY = _VIEWS / "sensitivity" / "sensitivity.py"
SEARCH = _VIEWS / "search" / "search.py"
RUNS = _VIEWS / "runs" / "runs.py"
SERVER = _VIEWS / "server" / "server.py"
