"""Money, units and dates in the words that the CLDR has for them (through Babel)."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from babel import Locale
from babel.core import UnknownLocaleError
from babel.dates import format_date, get_date_format
from babel.numbers import get_currency_name, get_decimal_symbol
from babel.units import format_unit

from services.speech.spoken.words import CURRENCIES, PLAIN_CURRENCIES, UNITS

_NUMBER: Final = r"\d{1,3}(?:[,. \u00a0\u202f’'](?=\d{3}(?!\d))\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d+)?"
_SIGN: Final = "|".join(map(re.escape, CURRENCIES))
_CODES: Final = "USD|EUR|GBP|JPY|CHF|CAD|AUD|CNY|INR|SEK|NOK|DKK|PLN|CZK|BRL|MXN|KRW|RUB|TRY"
_MAGNITUDE: Final = (
    r"(?:\s?(?P<magnitude>million|billion|trillion|thousand|Millionen|Milliarden|millions|milliards)\b|"
    r"(?P<short>k|K|m|M|\s?bn|B)(?![\w/]))?"
)
_MONEY: Final = re.compile(
    rf"(?:US)?(?P<sign>{_SIGN}|\b(?:{_CODES})(?=\s?\d))\s?(?P<amount>{_NUMBER}){_MAGNITUDE}|"
    rf"(?<![\w.,])(?P<amount2>{_NUMBER})\s?(?P<sign2>{_SIGN}|(?:{_CODES})\b)"
)
_LENGTHS: Final[tuple[Literal["long", "short"], ...]] = ("long", "short")
_MANY: Final = Decimal(2_000_000)
_MAGNITUDES: Final = {"k": "thousand", "K": "thousand", "m": "million", "M": "million", "bn": "billion", "B": "billion"}
_UNIT_NAMES: Final = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
_UNIT: Final = re.compile(
    rf"(?<![\w.,])(?P<number>{_NUMBER})(?P<gap>\s?)"
    rf"(?P<unit>{_UNIT_NAMES})(?![\w/²³°$€£])(?:\.(?=\s+[a-zà-ÿ]))?"  # the dot of "min." goes, that of an end stays
)
_DATE: Final = re.compile(
    r"(?<![\w./-])(?:(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})|"
    r"(?P<first>\d{1,2})(?P<mark>[./])(?P<second>\d{1,2})(?P=mark)(?P<year2>\d{4}))(?![\w/-]|\.\d)"
)


class Amount(NamedTuple):
    """A number as it was written: digits before and after the decimal sign."""

    whole: str
    decimals: str

    @property
    def value(self) -> Decimal:
        return Decimal(f"{self.whole}.{self.decimals}" if self.decimals else self.whole)


def read_amount(text: str, locale: Locale) -> Amount:
    """A number with or without groups: "1,234.50" and "1.234,50" are the same one.

    A single sign before exactly three digits is the decimal sign only where the language says so.
    """
    text = re.sub(r"[ \u00a0\u202f’']", "", text)
    marks = re.findall(r"[.,]", text)
    if not marks:
        return Amount(text, "")
    whole, _, decimals = text.rpartition(marks[-1])
    grouped = len(decimals) == 3 and (marks[-1] != get_decimal_symbol(locale) or marks.count(marks[-1]) > 1)
    if grouped:
        return Amount(re.sub(r"[.,]", "", text), "")
    return Amount(re.sub(r"[.,]", "", whole), decimals)


def with_money(text: str, locale: Locale) -> str:
    """€3.50 -> 3 euros 50; $1.5 million -> 1.5 million dollars."""

    def said(found: re.Match[str]) -> str:
        amount = read_amount(found["amount"] or found["amount2"], locale)
        sign, short = found["sign"] or found["sign2"], found["short"] or ""
        magnitude = found["magnitude"] or (_MAGNITUDES[short.strip()] if short and locale.language == "en" else "")
        if magnitude:
            return f"{_digits(amount, locale)} {magnitude} {_currency(sign, _MANY, locale)}"
        if len(amount.decimals) == 2 and amount.decimals >= "10":
            return f"{amount.whole} {_currency(sign, Decimal(amount.whole), locale)} {amount.decimals}{short}"
        amount = Amount(amount.whole, "" if amount.decimals == "00" else amount.decimals)
        return f"{_digits(amount, locale)} {_currency(sign, amount.value, locale)}{short}"

    return _MONEY.sub(said, text)


def with_units(text: str, locale: Locale) -> str:
    """5 km/h -> 5 kilometers per hour; "1990s" is no unit."""

    def said(found: re.Match[str]) -> str:
        unit = found["unit"]
        if unit == "s" and not found["gap"]:
            return found[0]
        number = read_amount(found["number"], locale).value
        for length in _LENGTHS:
            words = format_unit(number, UNITS[unit], length, format="0.###############", locale=locale)
            if UNITS[unit] not in words:  # which stands there where the CLDR has no words of that length
                return words
        return found[0]

    return _UNIT.sub(said, text)


def with_dates(text: str, locale: Locale) -> str:
    """2026-11-26 -> November 26, 2026. Day and month as the voice's region writes them; no date stays as it is."""
    month_first = str(get_date_format("short", locale)).startswith("M")

    def said(found: re.Match[str]) -> str:
        if found["year"]:
            year, month, day = found["year"], found["month"], found["day"]
        elif month_first and found["mark"] == "/":
            month, day, year = found["first"], found["second"], found["year2"]
        else:
            day, month, year = found["first"], found["second"], found["year2"]
        try:
            return format_date(datetime.date(int(year), int(month), int(day)), "long", locale)
        except (ValueError, UnknownLocaleError):
            return found[0]

    return _DATE.sub(said, text)


def _digits(amount: Amount, locale: Locale) -> str:
    return f"{amount.whole}{get_decimal_symbol(locale)}{amount.decimals}" if amount.decimals else amount.whole


def _currency(sign: str, count: Decimal, locale: Locale) -> str:
    plain = PLAIN_CURRENCIES.get(locale.language, {}).get(sign)
    if plain is not None:
        return plain[count != 1]
    return get_currency_name(CURRENCIES.get(sign, sign), count=count, locale=locale)
