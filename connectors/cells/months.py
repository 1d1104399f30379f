"""Translate names of months into English, the only language that strptime reads.

The languages are German, French, Spanish, Italian, Portuguese and Dutch; names may be
full or abbreviated. No name means different months in two of these languages. Names of
weekdays are ambiguous (`mar` is a Tuesday in three of them), so they are removed.
"""

from __future__ import annotations

import polars as pl

LANGUAGES = "German, French, Spanish, Italian, Portuguese and Dutch"
ENGLISH = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
           "Dec")  # fmt: skip
NAMES = (
    "januar jänner jän janvier janv enero ene gennaio gen janeiro januari",
    "februar feber février févr fév fevrier febrero febbraio fevereiro fev februari",
    "märz maerz mär mrz mars marzo março marco maart mrt",
    "avril avr abril abr aprile",
    "mai mayo maggio mag maio mei",
    "juni juin junio giugno giu junho",
    "juli juillet juil julio luglio lug julho",
    "août aout aoû agosto ago augustus",
    "septembre septiembre setiembre settembre setembro sept set",
    "oktober okt octobre octubre ottobre ott outubro out",
    "novembre noviembre novembro",
    "dezember dez décembre déc decembre diciembre dic dicembre dezembro",
)
"""For each month its names in other languages; English names need no translation."""
OF_NAME = {
    name: month
    for month, names in zip(ENGLISH, NAMES, strict=True)
    for name in names.split()
}
WORD = "|".join(sorted({*OF_NAME, *map(str.lower, ENGLISH)}, key=len, reverse=True))
PARTS = rf"(?i)^(.*?[^\pL]|)({WORD})\.?((?:[^\pL].*)?)$"
"""Groups: the text before the name of a month, the name, the text after it."""
WEEKDAY = r"^\pL+\.?,?\s+"
AROUND = (
    (r"(?i)(\d)(?:er|º|°|ª)(\s)", "$1$2"),  # the first: `1er mai`
    (r"(?i)\s+del?\s+", " "),  # `3 de mayo de 2024`
    (r"(?i),?\s+(?:à|um|alle ore|alle|às|a las|om)\s+(\d)", " $1"),
    (r"(?i)(\d)\s*uhr$", "$1"),
    (r"(?i)(\d)\s+([ap])\.?\s?m\.?$", "$1 ${2}m"),  # `03:04 p. m.`
)
"""Patterns of words around the parts of a date, each with its replacement."""


def english(cells: pl.Series) -> pl.Series:
    """Translate names of months into English, and remove other words of a language."""
    plain = cells.str.normalize("NFC").str.strip_chars()
    for pattern, left in AROUND:
        plain = plain.str.replace_all(pattern, left)
    bare = plain.str.replace(WEEKDAY, "")
    plain = bare.zip_with(bare.str.contains(PARTS).fill_null(value=False), plain)
    before, name, behind = plain.str.extract_groups(PARTS).struct.unnest()
    month = name.str.to_lowercase().replace(OF_NAME)
    return (before + month + behind).fill_null(plain)
