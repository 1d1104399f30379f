"""Reports as people see them: in Chromium."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sfm_stream.report import page
from tests.browser_rig import browser, program

pytestmark = pytest.mark.skipif(
    program() is None, reason="Chromium is not installed (Debian's package: chromium)"
)
SECONDS = [0.05 * 1.6**i for i in range(48)]
"""From a twentieth of a second to six years."""
DRAW = f"""
const since = Date.UTC(2022, 2, 30, 21, 3) / 1000;
const at = [...Array(50).keys()];
const plots = {SECONDS}.map((seconds) =>
  lines("a curve", at.map((i) => since + (i * seconds) / 49), {{ curve: at }}));
document.getElementById("report").append(element("div", {{ class: "pair" }}, ...plots));
"""
# What is drawn since the canvas was last cleared: text, left end, right end, line.
NOTED = """
const { fillText, clearRect } = CanvasRenderingContext2D.prototype;
globalThis.noted = new Map();
Object.assign(CanvasRenderingContext2D.prototype, {
  clearRect(...given) { noted.set(this.canvas, []); return clearRect.apply(this, given); },
  fillText(text, x, y) {
    const width = this.measureText(text).width;
    const left = x - { center: width / 2, right: width, end: width }[this.textAlign] || 0;
    noted.get(this.canvas)?.push([text, left, left + width, Math.round(y)]);
    return fillText.call(this, text, x, y);
  },
});
"""
DRAWN = "[...noted].filter(([canvas]) => canvas.isConnected).map(([, texts]) => texts)"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "report.html"
    path.write_text(page.assemble("plots", {}, DRAW))
    with browser() as found:
        found.call("Page.addScriptToEvaluateOnNewDocument", source=NOTED)
        found.address = path.as_uri()
        yield found


@pytest.mark.parametrize("width", [1200, 1100, 800, 400])
def test_no_two_labels_of_an_axis_overlap(tab, width):
    tab.size(width, 1600)
    tab.open(tab.address)
    tab.until(f"{DRAWN}.filter((texts) => texts.length > 2).length === {len(SECONDS)}")
    for texts in tab.ask(DRAWN):
        in_lines = sorted(texts, key=lambda text: (text[3], text[1]))
        for one, other in pairwise(in_lines):
            assert one[3] != other[3] or one[2] + 4 < other[1], (one, other)
    assert tab.problems == []
