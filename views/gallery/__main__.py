"""Serve the gallery: `python -m views.gallery [--port 8502 --headless]`."""

import argparse
from pathlib import Path

from streamlit.web import bootstrap

from views.launch import settings

PAGE = Path(__file__).with_name("gallery.py")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m views.gallery", description=__doc__)
    parser.add_argument("--port", type=int, default=8502)
    parser.add_argument("--headless", action="store_true", help="do not open a browser")
    asked = parser.parse_args()
    options = {
        **settings(),
        "server.port": asked.port,
        "server.headless": asked.headless,
        "server.address": "127.0.0.1",
    }
    bootstrap.load_config_options(options)
    bootstrap.run(str(PAGE), False, [], options)


if __name__ == "__main__":
    main()
