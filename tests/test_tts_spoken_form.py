"""What is written is said: numbers with their signs, money, units, dates, addresses; what cannot be said is refused."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import TextRejectedError
from services.speech.engines import build_speech
from services.speech.espeak import EspeakTTS
from services.speech.flite import FliteTTS
from services.speech.languages import foreign_letters, scripts_of
from services.speech.markdown import without_markdown
from services.speech.spoken.form import spoken_form
from services.tts_service import SpeechService

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="the program flite is not installed")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        # Each of these once was spoken as the text without its sign.
        ("Add ½ cup of sugar.", "Add one half cup of sugar."),
        ("It weighs 3¼ pounds.", "It weighs 3 and a quarter pounds."),
        ("It has 10³ parts.", "It has 10 cubed parts."),
        ("It is −5 degrees.", "It is minus 5 degrees."),
        ("It costs €5.", "It costs 5 euros."),
        ("It costs £5.", "It costs 5 pounds."),
        ("The price ≤ 5.", "The price is at most 5."),
        ("a < b > c", "a is less than b is greater than c"),
        ("x² + y² = 10⁻⁴", "x squared plus y squared equals 10 to the power of minus 4"),
        ("5 - 3 = 2", "5 minus 3 equals 2"),
        ("2–3 days, 5 - 6 cups", "2 to 3 days, 5 to 6 cups"),
        ("5/8 and 1 1/2 but 24/7 and 9/11", "5 eighths and 1 and a half but 24 slash 7 and 9 slash 11"),
        ("€3.50, $1, $3.05, $1,234.56, £1.00", "3 euros 50, 1 dollar, 3.05 dollars, 1234 dollars 56, 1 pound"),
        ("$1.5 million, $5M, € 5 bn, 50¢", "1.5 million dollars, 5 million dollars, 5 billion euros, 50 cents"),
        ("1 km, 10 km/h, 5kg, 5 m², 20 °C, 20 ℃, 5 µm",
         "1 kilometer, 10 kilometers per hour, 5 kilograms, 5 square meters, 20 degrees Celsius, "
         "20 degrees Celsius, 5 micrometers"),
        ("5 min. later in the 1990s. It took 5 min.", "5 minutes later in the 1990s. It took 5 minutes."),
        ("50% of 3 ‰", "50 percent of 3 permille"),
        ("2026-11-26, 12/05/2026, 99/99/2026",
         "November 26, 2026, December 5, 2026, 99 slash 99 slash 2026"),
        ("18:00, 4:00, 3:00 pm, 3:30", "18 hundred hours, 4 o'clock, 3 pm, 3:30"),
        ("See https://example.com/a?b=c.", "See example dot com slash a question mark b equals c."),
        ("Mail me@example.com!", "Mail me at example dot com!"),
        ("v2.0.1", "v2 point 0 point 1"),
        ("e.g. this, i.e. that etc. No. 5, Fig. 3", "for example this, that is that et cetera number 5, figure 3"),
        ("AT&T, C++, C#, #1, ~5", "AT and T, C plus plus, C sharp, number 1, about 5"),
        ("α-ray, π and µ; ™ → ∞", "alpha -ray, pi and micro; trademark arrow infinity"),
        ("ﬁne Ⅳ Ａ ① ٣ H₂O", "fine IV A 1 3 H2O"),
        ("1,234,567 on the 22nd; it’s “ok”…", "1,234,567 on the 22nd; it’s “ok”…"),
    ],
)  # fmt: skip
def test_what_is_said_in_english(written: str, said: str) -> None:
    assert spoken_form(written, "en-US") == said


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("en-GB", "12/05/2026", "12 May 2026"),
        ("de-DE", "1.234,50 € am 12.05.2026, −5 °C, 10³ m",
         "1234 Euro 50 am 12. Mai 2026, minus 5 Grad Celsius, 10 hoch 3 m"),
        ("de", "1.234 km, a < b", "1234 Kilometer, a kleiner als b"),
        ("fr-FR", "3,5 % de 5 m² à 1 €", "3,5 pour cent de 5 mètres carrés à 1 euro"),
        ("es", "www.ejemplo.es", "www punto ejemplo punto es"),
        ("ru", "1 km, 2 km, 5 km, −5", "1 километр, 2 километра, 5 километров, минус 5"),
        ("cmn", "5 km", "5公里"),
        ("und", "½ €5", "½ €5"),
    ],
)  # fmt: skip
def test_what_is_said_in_other_languages(language: str, written: str, said: str) -> None:
    assert spoken_form(written, language) == said


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("# Title\n\nSome **bold**, _soft_ and ~~old~~ `code`.", "Title\n\nSome bold, soft and old code."),
        ("- one\n- two\n\n3. three\n4) four", "one\n\ntwo\n\n3. three\n\n4) four"),
        ("[a link](https://example.com/x) ![a picture](y.png)", "a link a picture"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a, b\n\n1, 2"),
        ("> quoted\n\n---\n\n```python\nrun()\n```", "quoted\n\nrun()\n"),
        # What is no Markdown stays.
        ("5*3*2 = 30 and 2 * 3", "5×3×2 = 30 and 2 × 3"),
        ("- 5 degrees\n> 5 people", "- 5 degrees\n> 5 people"),
        ("snake_case_name, a_b", "snake_case_name, a_b"),
        ("[Note]: this", "[Note]: this"),
        ("    indented", "indented"),
        ("5.", "5."),
    ],
)
def test_markdown_is_not_read_aloud(written: str, read: str) -> None:
    assert without_markdown(written) == read


SIGNS = st.text(st.sampled_from(list("0123456789 .,:/-−–€$£%°²³½⁄kmhCF#&@<>=+~^|()aπЯ你\u0301")), max_size=80)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(st.characters(exclude_categories=("Cs",)), max_size=80), SIGNS))
def test_no_letter_and_no_digit_is_lost(text: str) -> None:
    for language in ("en-US", "de-DE", "ja", "und"):
        said = spoken_form(text, language)
        for character in text:
            if character.isascii() and character.isalpha():
                assert character.lower() in said.lower() or "://" in text or any(c.isdigit() for c in text)
            elif character.isalpha() and foreign_letters(character, language):
                assert character in said or character not in "Я你"


@pytest.mark.parametrize(
    "text", ["1," * 3000, "1 " * 3000, "a." * 3000, "1/" * 3000, "$1 " * 2000, "²" * 5000, "-1 " * 2000]
)
def test_hostile_sentences_cost_no_more_than_others(text: str) -> None:
    started = time.perf_counter()
    spoken_form(text, "en-US")
    assert time.perf_counter() - started < 2.0


# --- what cannot be said --------------------------------------------------------------------------
@needs_flite
@pytest.mark.parametrize(
    ("text", "lost", "able"),
    [
        ("你好,欢迎来到我们的网站。", "你好欢迎来到我们的网站", "espeak:cmn and espeak:yue can"),
        ("Hello. 你好,欢迎. Bye.", "你好欢迎", "espeak:cmn and espeak:yue can"),
        ("Привет, мир.", "Приветм", "espeak:ru"),
        ("مرحبا بكم", "مرحباك", "espeak:ar"),
        ("こんにちは", "こんにちは", "espeak:ja can"),
        ("\U00013000 a", "\U00013000", "write it otherwise"),
    ],
)
def test_letters_without_a_sound_are_named_with_a_voice_that_has_one(text: str, lost: str, able: str) -> None:
    speech = SpeechService([FliteTTS(), EspeakTTS()])
    for call in (speech.check, speech.synthesize):
        with pytest.raises(TextRejectedError) as caught:
            call(text, "flite:slt")
        assert f"the voice flite:slt (en-US) has no sound for {lost}; " in str(caught.value)
        assert able in str(caught.value)


def test_what_an_engine_only_calls_by_its_kind_is_refused() -> None:
    speech = SpeechService([EspeakTTS()])
    with pytest.raises(TextRejectedError, match=r"espeak:ja \(ja\) has no sound for 日本語; .* write it in kana"):
        speech.check("これは日本語です。", "espeak:ja")
    speech.check("これはコーヒーです。", "espeak:ja")
    speech.check("今天天气很好！", "espeak:cmn")
    speech.check("Straße, naïve, Łódź, 5 ≤ 6, ½, π", "espeak:de")
    with pytest.raises(TextRejectedError, match=r"has no sound for ₿"):
        speech.check("1 ₿", "espeak:de")


@needs_flite
def test_a_sign_that_was_lost_is_heard() -> None:
    speech = build_speech()

    def heard(text: str) -> np.ndarray:
        return np.concatenate([chunk.pcm_S for chunk in speech.synthesize(text, "flite:slt")])

    for written, without in (("Add ½ cup.", "Add 12 cup."), ("€5.", "5."), ("−5.", "5."), ("a ≤ b.", "a b.")):
        assert len(heard(written)) != len(heard(without))
    assert len(heard("µ")) > 1000
    chunks = list(speech.synthesize("It costs €5.", "flite:slt"))
    assert {chunk.sentence for chunk in chunks} == {"It costs €5."}  # captions show what was written


@needs_flite
def test_flite_reads_every_latin_letter() -> None:
    assert FliteTTS().unspoken("æ Æ ø œ ł Ł đ ħ ı ŋ þ ð ß é ñ “” — …", "flite:slt") == ""
    assert FliteTTS().unspoken("a 你 € é", "flite:slt") == "你€"


def test_scripts() -> None:
    assert scripts_of("ja") >= {"HIRAGANA", "KATAKANA", "CJK"}
    assert scripts_of("cmn") == {"CJK"} and scripts_of("cmn-latn-pinyin") == {"LATIN"}
    assert scripts_of("und") == frozenset()
    assert foreign_letters("π αβ Я", "en") == "αβЯ"
