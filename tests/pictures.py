"""Make the README's pictures anew: the daemon's page, and the report of the demo.

    python -m tests.pictures

plays made-up streams to a live process for a minute, replays `configs/demo.toml`,
and takes both pictures with Chromium into `sfm_stream/pictures/`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.browser_rig import browser
from tests.page_cost import port
from tests.page_rig import living

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "sfm_stream" / "pictures"
STREAMS, RATE, LEARNED = 8, 20, 1_200
WIDTH, HEIGHT, QUALITY = 1360, 870, 80
SETTLE = 2.0


def take(page, name):
    """Take a picture of what is in sight."""
    time.sleep(SETTLE)
    page.picture(PLACE / f"{name}.webp", "webp", quality=QUALITY)


def main():
    PLACE.mkdir(exist_ok=True)
    with browser() as page, tempfile.TemporaryDirectory() as name:
        page.size(WIDTH, HEIGHT)
        with living(STREAMS, RATE, port()) as daemon:
            daemon.wait(STREAMS * LEARNED)
            page.open(f"{daemon.url}#stream=kitchen&horizon=5&span=400")
            page.until("globalThis.sfm?.points?.last > 500")
            page.until("document.querySelectorAll('#cards svg').length === 3")
            take(page, "page")
        run = Path(name) / "demo"
        for line in (["replay", "configs/demo.toml", "--out", run], ["report", run]):
            command = [sys.executable, "-m", "sfm_stream", *map(str, line)]
            subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 our own program
        page.open(f"file://{run}/report.html")
        page.until("document.querySelectorAll('canvas').length > 5")
        take(page, "report")


if __name__ == "__main__":
    main()
