"""The pages: what stands in them, and the tables that are made from the code.

`python -m tests.pages` writes these tables anew.
"""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from pathlib import Path

from connectors import FEEDS, options_of
from connectors.venues.protocol import VENUES
from sfm_stream.config import keys
from sfm_stream.daemon.http.prometheus import Meters
from tests.test_architecture import ROWS
from tests.views_rig import watched
from tests.vitals_rig import WELL

ROOT = Path(__file__).parents[1]
NAMES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "configs", "connectors", "sfm_stream")
    for path in (ROOT / folder).glob("README.md" if folder == "." else "**/README.md")
)
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
PRIVATE = "../shared/"
PLACEHOLDER = re.compile(r"[A-Z]+(\|[A-Z]+)*").fullmatch
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(name, heading):
    """Give the text from a page's heading to the next one of its rank or above."""
    bare = FENCE.sub(
        lambda found: re.sub(r"^#", " #", found[0], flags=re.MULTILINE), PAGES[name]
    )
    marks = heading.split()[0]
    after = bare.split(f"\n{heading}\n", 1)[1]
    kept = re.split(rf"^#{{1,{len(marks)}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]
    return re.sub(r"^ #", "#", kept, flags=re.MULTILINE)


def blocks(language, text):
    """Give the fenced blocks of a language."""
    return [body for said, body in FENCE.findall(text) if said == language]


def all_blocks(language):
    """Give page and text of every block of a language, page by page."""
    return [(name, b) for name, text in PAGES.items() for b in blocks(language, text)]


def first_column(text):
    """Give the names in code of the first column of the tables in a text."""
    return re.findall(r"^\| `([\w./-]+)` \|", text, re.MULTILINE)


def commands(language="sh"):
    """Give every `sfm-stream ...` line of a language's blocks, and what prose shows."""
    lines = [line for _, block in all_blocks(language) for line in block.splitlines()]
    shown = lines + (in_prose() if language == "sh" else [])
    return [words for words in split(shown) if not any(map(PLACEHOLDER, words))]


def forms():
    """Give the commands that prose shows with a placeholder, such as RUN."""
    return [words for words in split(in_prose()) if any(map(PLACEHOLDER, words))]


def in_prose():
    """Give every `sfm-stream ...` of the text between blocks."""
    prose = [FENCE.sub("", text) for text in PAGES.values()]
    return [
        line for text in prose for line in re.findall(r"`(sfm-stream [^`]+)`", text)
    ]


def split(lines):
    """Give the words after `sfm-stream` of the lines that begin so, each once."""
    found = [shlex.split(line)[1:] for line in lines if line.startswith("sfm-stream ")]
    return list(dict.fromkeys(tuple(words) for words in found))


def reads_private_data(words):
    """Say whether a command reads files that are not part of the project."""
    if any(PRIVATE in word for word in words):
        return True
    path = next((w for w in words if re.fullmatch(r"configs/.+\.toml", w)), None)
    is_set = any(word.startswith("feed.path=") for word in words)
    return bool(path) and not is_set and PRIVATE in (ROOT / path).read_text("utf-8")


def anchors(path):
    """Give the anchors of a page's headings."""
    name = path.resolve().relative_to(ROOT).as_posix()
    text = PAGES[name]
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


def table(head, rows):
    """Give a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary(path):
    """Give the first sentence of a module's docstring, without its full stop."""
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(told.split("\n\n")[0].split()).rstrip(".")


def files_of(folder):
    """Give name and purpose of a room's files, its inner rooms after them."""
    rows = []
    for path in sorted(folder.iterdir(), key=lambda p: (p.is_dir(), p.name)):
        if path.is_dir() and (path / "__init__.py").is_file():
            rows.append(
                (f"**`{path.relative_to(ROOT)}/`**", summary(path / "__init__.py"))
            )
            rows += files_of(path)
        elif path.suffix == ".py" and path.name != "__init__.py":
            rows.append((f"`{path.relative_to(ROOT)}`", summary(path)))
    return rows


def rooms():
    """Tell of every file of `sfm_stream`, in the order in which rooms may import."""
    parts = []
    for row in ROWS:
        rows = []
        for name in sorted(row):
            place = ROOT / "sfm_stream" / name
            if place.is_dir():
                rows.append(
                    (f"**`sfm_stream/{name}/`**", summary(place / "__init__.py"))
                )
                rows += files_of(place)
            elif place.with_suffix(".py").is_file():
                rows.append(
                    (f"`sfm_stream/{name}.py`", summary(place.with_suffix(".py")))
                )
        parts += rows
    return table(("room or file", "what it is"), parts)


def feeds():
    """Tell of every file of `connectors`."""
    return table(("room or file", "what it is"), files_of(ROOT / "connectors"))


def settings():
    """Tell of every key: default and meaning."""
    rows = [
        (f"`{name}`", "" if default == "null" else f"`{default}`", text)
        for name, default, text in keys()
    ]
    return table(("key", "default", "meaning"), rows)


def options():
    """Tell of every connector's options: who has it, default and meaning."""
    found = {}
    for name in (*FEEDS, *VENUES):
        for row in keys(options_of(name)):
            found.setdefault(row, []).append(f"`{name}`")
    rows = [
        (f"`{key}`", ", ".join(who), "" if default == "null" else f"`{default}`", text)
        for (key, default, text), who in found.items()
    ]
    return table(("`feed.options.`", "of", "default", "meaning"), rows)


def examples():
    """Tell of every example configuration: what its first comment says."""
    rows = []
    for path in sorted((ROOT / "configs").glob("*.toml")):
        comment = re.match(r"(?:#.*\n)+", path.read_text(encoding="utf-8"))[0]
        told = " ".join(line.lstrip("# ") for line in comment.splitlines())
        feed = tomllib.loads(path.read_text(encoding="utf-8"))["feed"]
        first = feed[0] if isinstance(feed, list) else feed
        sentence = re.split(r"(?<=[.:]) ", told)[0].rstrip(".:")
        rows.append((f"`configs/{path.name}`", f"`{first['connector']}`", sentence))
    return table(("configuration", "feed", "what it shows"), rows)


def metrics():
    """Tell of every metric of the daemon."""
    meters = Meters()
    meters.watcher = watched(20)
    rows = []
    for family in meters.metrics(WELL):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(key for key in family.samples[0].labels if key != "le")
        rows.append((f"`{name}`", family.type, labels, family.documentation))
    return table(("name", "kind", "labels", "meaning"), rows)


MADE = {
    ("sfm_stream/README.md", "rooms"): rooms,
    ("connectors/README.md", "files"): feeds,
    ("configs/README.md", "keys"): settings,
    ("configs/README.md", "options"): options,
    ("configs/README.md", "examples"): examples,
    ("sfm_stream/daemon/README.md", "metrics"): metrics,
}


def with_table(name, mark):
    """Give a page with one table made anew."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    before, after = PAGES[name].split(f"{begin}\n")
    return f"{before}{begin}\n{MADE[name, mark]()}\n{end}{after.split(end, 1)[1]}"


def main():
    """Write every table anew."""
    for name, mark in MADE:
        PAGES[name] = with_table(name, mark)
        (ROOT / name).write_text(PAGES[name], encoding="utf-8")


if __name__ == "__main__":
    main()
