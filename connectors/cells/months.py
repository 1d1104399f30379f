"""Names of months in other languages, put in English, which alone strptime reads.

German, French, Spanish, Italian, Portuguese and Dutch, in full and as they are
shortened there. No name means one month in one of them and another in the next; names
of weekdays do (`mar` is a Tuesday in three of them), and are taken off.
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
"""For each month its names elsewhere; English ones are read as they are."""
OF_NAME = {
    name: month
    for month, names in zip(ENGLISH, NAMES, strict=True)
    for name in names.split()
}
WORD = "|".join(sorted({*OF_NAME, *map(str.lower, ENGLISH)}, key=len, reverse=True))
PARTS = rf"(?i)^(.*?[^\pL]|)({WORD})\.?((?:[^\pL].*)?)$"
"""What stands before the name of a month, the name, what stands behind it."""
WEEKDAY = r"^\pL+\.?,?\s+"
AROUND = (
    (r"(?i)(\d)(?:er|º|°|ª)(\s)", "$1$2"),  # the first: `1er mai`
    (r"(?i)\s+del?\s+", " "),  # `3 de mayo de 2024`
    (r"(?i),?\s+(?:à|um|alle ore|alle|às|a las|om)\s+(\d)", " $1"),
    (r"(?i)(\d)\s*uhr$", "$1"),
    (r"(?i)(\d)\s+([ap])\.?\s?m\.?$", "$1 ${2}m"),  # `03:04 p. m.`
)
"""What stands around the parts of a date in these languages, and what is left."""


def english(cells: pl.Series) -> pl.Series:
    """Put names of months in English, and leave out what belongs to the language."""
    plain = cells.str.normalize("NFC").str.strip_chars()
    for pattern, left in AROUND:
        plain = plain.str.replace_all(pattern, left)
    bare = plain.str.replace(WEEKDAY, "")
    plain = bare.zip_with(bare.str.contains(PARTS).fill_null(value=False), plain)
    before, name, behind = plain.str.extract_groups(PARTS).struct.unnest()
    month = name.str.to_lowercase().replace(OF_NAME)
    return (before + month + behind).fill_null(plain)
