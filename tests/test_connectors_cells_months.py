from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from connectors.cells import dates, months
from sfm_stream.events import NO_TIME

# Unicode's names of months (CLDR 44), wide and abbreviated.
WIDE = {
    "German": "Januar Februar März April Mai Juni Juli August September Oktober November "
    "Dezember",
    "French": "janvier février mars avril mai juin juillet août septembre octobre "
    "novembre décembre",
    "Spanish": "enero febrero marzo abril mayo junio julio agosto septiembre octubre "
    "noviembre diciembre",
    "Italian": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre "
    "ottobre novembre dicembre",
    "Portuguese": "janeiro fevereiro março abril maio junho julho agosto setembro outubro "
    "novembro dezembro",
    "Dutch": "januari februari maart april mei juni juli augustus september oktober "
    "november december",
}  # fmt: skip
SHORT = {
    "German": "Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez.",
    "French": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "Spanish": "ene feb mar abr may jun jul ago sept oct nov dic",
    "Italian": "gen feb mar apr mag giu lug ago set ott nov dic",
    "Portuguese": "jan. fev. mar. abr. mai. jun. jul. ago. set. out. nov. dez.",
    "Dutch": "jan. feb. mrt. apr. mei jun. jul. aug. sep. okt. nov. dec.",
}
NAMES = [
    pytest.param(told[tongue].split(), id=f"{tongue}-{kind}")
    for kind, told in {"wide": WIDE, "short": SHORT}.items()
    for tongue in told
]
FORMS = ["{day} {month} {year}", "{day}-{month}-{year}", "{day}. {month} {year} 14:30",
         "{day}/{month}/{year}"]  # fmt: skip


def read(cells):
    column = pl.Series("t", cells)
    clock = dates.recognise(column, "f.csv", "t")
    return clock and clock.read(pl.DataFrame([column])).tolist()


def ns(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("names", NAMES)
def test_months_are_read_in_other_languages(names, form):
    cells = [form.format(day=7, month=name, year=2024) for name in names]
    hour = (14, 30) if ":" in form else ()
    assert read(cells) == [ns(2024, month, 7, *hour) for month in range(1, 13)]


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("domingo, 3 de marzo de 2024", (2024, 3, 3)),
        ("1er août 2024 14:30", (2024, 8, 1, 14, 30)),
        ("3 de dezembro de 2024 às 14:30", (2024, 12, 3, 14, 30)),
        ("Mi, 3. Jul 2024 14:30 Uhr", (2024, 7, 3, 14, 30)),
        ("mar. 4 juin 2024", (2024, 6, 4)),
        ("mar 3, 2024", (2024, 3, 3)),
        ("03MÄR2024", (2024, 3, 3)),
        ("3. Ma\u0308rz 2024", (2024, 3, 3)),
        ("März 2024", (2024, 3, 1)),
        ("22/01/2024 03:04:05 p. m.", (2024, 1, 22, 15, 4, 5)),
        ("22/01/2024 12:04 a.m.", (2024, 1, 22, 0, 4)),
    ],
)
def test_words_around_a_date_are_taken_off(cell, parts):
    assert read([cell]) == [ns(*parts)]


def test_a_month_that_comes_after_the_first_rows_is_read_too():
    clock = dates.recognise(pl.Series("t", ["07-Jan-2024"] * 9), "f.csv", "t")
    later = pl.DataFrame({"t": ["07-Jan-2024", "07-Mär-2024", "07-Xyz-2024"]})
    assert clock.read(later).tolist() == [ns(2024, 1, 7), ns(2024, 3, 7), NO_TIME]


def test_months_of_a_language_that_is_not_known_are_no_times():
    assert read(["3 stycznia 2024", "4 lutego 2024"]) is None


def test_no_name_means_two_months():
    known = [name for names in months.NAMES for name in names.split()]
    assert len(known) == len(set(known))
    english = [name.lower() for name in months.ENGLISH]
    for name in set(known) & set(english):
        assert english.index(name) == english.index(months.OF_NAME[name].lower())
