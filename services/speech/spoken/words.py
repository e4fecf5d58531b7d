"""The words that the CLDR does not have: how languages say signs, addresses and English abbreviations.

A language that is not here leaves its signs to the engine; what that cannot say is refused by name.
"""

from __future__ import annotations

from typing import Final

# Signs between or before numbers and letters. In English every other sign is called by its Unicode name.
SIGNS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "−": "minus", "<": "is less than", ">": "is greater than", "≤": "is at most", "≥": "is at least",
        "=": "equals", "≠": "does not equal", "≈": "is about", "+": "plus", "±": "plus or minus", "×": "times",
        "÷": "divided by", "·": "times", "^": "to the power of", "&": "and", "@": "at", "%": "percent",
        "°": "degrees", "µ": "micro", "→": "arrow", "←": "left arrow", "√": "square root of", "/": "slash",
        "\\": "backslash", "#": "number", "€": "euros", "£": "pounds", "¥": "yen", "$": "dollars", "¢": "cents",
        "§": "section", "¶": "paragraph", "‰": "per mille", "∆": "delta", "™": "trademark",
        "®": "registered", "∈": "in", "∑": "sum", "∏": "product", "∫": "integral", "ª": "a", "º": "o",
    },
    "de": {"−": "minus", "<": "kleiner als", ">": "größer als", "=": "gleich", "≠": "ungleich", "^": "hoch",
           "/": "Schrägstrich", "·": "mal", "≥": "größer oder gleich", "‰": "Promille", "#": "Nummer",
           "©": "Copyright", "®": "eingetragene Marke"},
    "fr": {"−": "moins", "<": "inférieur à", ">": "supérieur à", "≤": "inférieur ou égal à",
           "≥": "supérieur ou égal à", "=": "égale", "≠": "différent de", "^": "puissance", "×": "fois",
           "÷": "divisé par", "+": "plus", "±": "plus ou moins", "°": "degrés", "≈": "environ"},
    "es": {"−": "menos", "<": "menor que", ">": "mayor que", "≤": "menor o igual que", "≥": "mayor o igual que",
           "=": "igual a", "≠": "distinto de", "^": "elevado a", "×": "por", "÷": "dividido entre", "+": "más",
           "±": "más menos", "°": "grados", "≈": "aproximadamente"},
    "it": {"−": "meno", "<": "minore di", ">": "maggiore di", "≤": "minore o uguale a", "≥": "maggiore o uguale a",
           "=": "uguale a", "≠": "diverso da", "^": "elevato a", "×": "per", "÷": "diviso", "+": "più",
           "±": "più o meno", "°": "gradi", "≈": "circa"},
    "pt": {"−": "menos", "<": "menor que", ">": "maior que", "=": "igual a", "^": "elevado a", "×": "vezes"},
    "nl": {"−": "min", "<": "kleiner dan", ">": "groter dan", "=": "is gelijk aan", "^": "tot de macht", "×": "maal"},
    "ru": {"−": "минус", "<": "меньше", ">": "больше", "=": "равно", "×": "умножить на", "°": "градусов"},
}  # fmt: skip

# Of web and mail addresses.
ADDRESS_SIGNS: Final[dict[str, dict[str, str]]] = {
    "en": {".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", "?": "question mark", "=": "equals",
           "&": "and", ":": "colon", "#": "hash", "%": "percent", "~": "tilde", "+": "plus"},
    "de": {".": "Punkt", "/": "Schrägstrich", "@": "ät", "-": "Minus", "_": "Unterstrich", "?": "Fragezeichen",
           "=": "gleich", "&": "und", ":": "Doppelpunkt", "#": "Raute"},
    "fr": {".": "point", "/": "barre oblique", "@": "arobase", "-": "tiret", "_": "tiret bas",
           "?": "point d'interrogation", "=": "égale", "&": "et", ":": "deux-points", "#": "dièse"},
    "es": {".": "punto", "/": "barra", "@": "arroba", "-": "guion", "_": "guion bajo", "?": "signo de interrogación",
           "=": "igual", "&": "y", ":": "dos puntos", "#": "almohadilla"},
    "it": {".": "punto", "/": "barra", "@": "chiocciola", "-": "trattino", "_": "trattino basso",
           "?": "punto interrogativo", "=": "uguale", "&": "e", ":": "due punti", "#": "cancelletto"},
}  # fmt: skip

# English, in lower case without the last dot.
ABBREVIATIONS: Final = {
    "e.g": "for example", "i.e": "that is", "vs": "versus", "approx": "approximately", "etc": "et cetera",
    "cf": "compare", "dept": "department", "est": "established", "prof": "professor", "gen": "general",
    "gov": "governor", "sen": "senator", "rev": "reverend", "capt": "captain", "lt": "lieutenant", "sgt": "sergeant",
    "jr": "junior", "inc": "incorporated", "ltd": "limited", "corp": "corporation", "ave": "avenue",
    "blvd": "boulevard",
}  # fmt: skip
COUNTED: Final = {"no": "number", "nos": "numbers", "fig": "figure", "figs": "figures", "vol": "volume", "p": "page",
                  "pp": "pages", "ch": "chapter", "sec": "section", "art": "article", "ext": "extension"}  # fmt: skip
DENOMINATORS: Final = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth",
                       9: "ninth", 10: "tenth", 16: "sixteenth", 32: "thirty-second", 64: "sixty-fourth",
                       100: "hundredth"}  # fmt: skip

# The CLDR has the words of these units in every language.
UNITS: Final = {
    "km/h": "speed-kilometer-per-hour", "kph": "speed-kilometer-per-hour", "mph": "speed-mile-per-hour",
    "m/s": "speed-meter-per-second", "°C": "temperature-celsius", "°F": "temperature-fahrenheit",
    "km²": "area-square-kilometer", "m²": "area-square-meter", "cm²": "area-square-centimeter",
    "m³": "volume-cubic-meter", "cm³": "volume-cubic-centimeter", "ft²": "area-square-foot",
    "km": "length-kilometer", "m": "length-meter", "cm": "length-centimeter", "mm": "length-millimeter",
    "µm": "length-micrometer", "nm": "length-nanometer", "mi": "length-mile", "ft": "length-foot", "yd": "length-yard",
    "kg": "mass-kilogram", "g": "mass-gram", "mg": "mass-milligram", "µg": "mass-microgram", "lb": "mass-pound",
    "lbs": "mass-pound", "oz": "mass-ounce", "l": "volume-liter", "L": "volume-liter", "ml": "volume-milliliter",
    "mL": "volume-milliliter", "kB": "digital-kilobyte", "MB": "digital-megabyte", "GB": "digital-gigabyte",
    "TB": "digital-terabyte", "Hz": "frequency-hertz", "kHz": "frequency-kilohertz", "MHz": "frequency-megahertz",
    "GHz": "frequency-gigahertz", "W": "power-watt", "kW": "power-kilowatt", "MW": "power-megawatt",
    "kWh": "energy-kilowatt-hour", "kcal": "energy-kilocalorie", "kJ": "energy-kilojoule", "ms": "duration-millisecond",
    "min": "duration-minute", "h": "duration-hour", "hrs": "duration-hour", "hr": "duration-hour",
    "s": "duration-second", "%": "concentr-percent", "‰": "concentr-permille",
}  # fmt: skip
CURRENCIES: Final = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₽": "RUB", "₩": "KRW", "₺": "TRY",
                     "₴": "UAH", "₪": "ILS", "zł": "PLN"}  # fmt: skip
# Where the sign alone is written nobody says whose dollars they are.
PLAIN_CURRENCIES: Final = {
    "en": {"$": ("dollar", "dollars"), "£": ("pound", "pounds"), "¥": ("yen", "yen"), "₹": ("rupee", "rupees")},
    "de": {"$": ("Dollar", "Dollar"), "£": ("Pfund", "Pfund"), "¥": ("Yen", "Yen")},
    "fr": {"$": ("dollar", "dollars"), "£": ("livre", "livres"), "¥": ("yen", "yens")},
    "es": {"$": ("dólar", "dólares"), "£": ("libra", "libras")},
    "it": {"$": ("dollaro", "dollari"), "£": ("sterlina", "sterline")},
}
