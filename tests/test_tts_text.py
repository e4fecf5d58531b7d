"""What is spoken of a text, and where it is cut."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import TextRejectedError
from services.speech.sentences import MAX_SENTENCE, split_sentences
from services.speech.text import sentences_to_speak, spoken_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("  two \t words\n here ", "two words here"),
        ("3 < 5 and 7 > 2", "3 < 5 and 7 > 2"),
        ("a<b and c>d", "a<b and c>d"),
        ("I <3 you", "I <3 you"),
        ("<speak>Hi <b>you</b>, <emphasis level='strong'>stop</emphasis>!</speak>", "Hi you, stop!"),
        ('one<break time="1s"/>two<br>three<!-- not this -->four', "one two three four"),
        ("<script>run()</script>", "run()"),
        ("AT&amp;T &lt;3 &#233;t&#xe9; &nosuch;", "AT&T <3 été &nosuch;"),
        ("fine 👍🏽 \N{FAMILY}\u200d\N{BOY} 1\ufe0f\u20e3 \u2665\ufe0f ok 🇩🇪", "fine 1 ok"),
        ("20 °C © 5 ≤ 6 → €7", "20 °C © 5 ≤ 6 → €7"),
        ("e\u0301a", "\u00e9a"),
        ("nul\x00 bell\x07 bidi\u202e soft\u00adhyphen", "nul bell bidi softhyphen"),
        ("\ud800half\udfff", "half"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("Title\n\nBody\nof it", "Title\nBody of it"),
    ],
)
def test_what_is_spoken(text: str, spoken: str) -> None:
    assert spoken_text(text) == spoken


@pytest.mark.parametrize(
    "sentences",
    [
        ["Good morning.", "How are you?", "Fine!"],
        ["Dr. Smith paid 3.14 dollars, e.g. to J. R. R. Tolkien in the U.S. Army.", "Then he left."],
        ["Well... I think so.", "Yes… Maybe not."],
        ["“Really?” he asked.", "“Yes.”", "(She left.)", "Then he went."],
        ["See fig. 3 and p. 5, vol. 2.", "No.", "That is no. 7."],
        ["We met at 5 p.m. on Monday.", "It closes at 6 p.m.", "Today it rains, etc.", "So what."],
        ["Bring apples, etc. to me.", "Version 2.0.1 is out at example.com today."],
        ["1. First we wait.", "He was 5.", "Then 6."],
        ["Wir treffen uns am 3. Mai, z. B. um 5 Uhr bzw. später.", "Grüße usw.", "Gut."],
        ["¿Qué tal la Sra. García?", "¡Bien!"],
        ["你好。", "今天天气很好！", "是吗？", "他说：“好。”", "再见"],
        ["क्या हाल है।", "ठीक है।"],
        ["ماذا؟", "نعم."],
        ["What?!", "No way!!", "Wow."],
    ],
)
def test_where_a_text_is_cut(sentences: list[str]) -> None:
    spaced = "" if "你" in sentences[0] else " "
    assert split_sentences(spaced.join(sentences)) == sentences


def test_paragraphs_end_sentences() -> None:
    assert split_sentences(spoken_text("A title\n\nThe text\ngoes on. End")) == ["A title", "The text goes on.", "End"]


def test_a_sentence_that_is_too_long_is_cut_at_a_clause() -> None:
    clause = "we walked along the river until the sun went down behind the hills"
    text = f"{clause}, {clause}; {clause}, {clause} and {clause}."
    pieces = split_sentences(text)
    assert " ".join(pieces) == text
    assert all(60 <= len(piece) <= MAX_SENTENCE for piece in pieces)
    assert pieces[0].endswith(("hills,", "hills;"))
    assert [len(piece) for piece in split_sentences("字" * 600)] == [250, 250, 100]
    assert split_sentences("word " * 100)[0].endswith("word")


@pytest.mark.parametrize("text", ["", " \n\t", "...", "?!", "👍🏽", "<br/>", "\x00\x01", "\ud800", "\u200d"])
def test_a_text_without_anything_to_say_is_refused(text: str) -> None:
    with pytest.raises(TextRejectedError, match="nothing that can be spoken"):
        sentences_to_speak(text, 100, 1.0)


def test_a_text_that_is_too_long_is_refused_with_both_numbers() -> None:
    assert sentences_to_speak("a" * 100, 100, 1.0) == ["a" * 100]
    with pytest.raises(TextRejectedError, match=r"101 characters, at most 100"):
        sentences_to_speak("a" * 101, 100, 1.0)


@pytest.mark.parametrize("speed", [0.49, 2.01, 0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_no_voice_has_is_refused(speed: float) -> None:
    with pytest.raises(TextRejectedError, match=r"choose 0\.5 to 2"):
        sentences_to_speak("Hello.", 100, speed)


_TRICKY = st.text(st.sampled_from(list("<>&#x;a1. ,!?…。'\"=/-\n\x00\ud800\u200d\u0301😀[]")), max_size=600)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(st.characters(), max_size=400), _TRICKY))
def test_nothing_that_anybody_writes_breaks_it(text: str) -> None:
    try:
        sentences = sentences_to_speak(text, 10_000, 1.0)
    except TextRejectedError:
        return
    assert sentences
    for sentence in sentences:
        assert 0 < len(sentence) <= MAX_SENTENCE
        assert sentence == sentence.strip()
        assert any(character.isalnum() or character.isnumeric() for character in sentence)
        assert not any(ord(c) < 32 or "\ud800" <= c <= "\udfff" or "\U0001f000" <= c < "\U0001fb00" for c in sentence)
    joined = "".join("".join(sentences).split())
    assert set(joined) <= set(spoken_text(text))


@pytest.mark.parametrize(
    "text", ["<a x='" * 3000, "<!--" * 5000, "&" * 20_000, "a. " * 7000, "<a " * 6000, '"' * 20_000]
)
def test_hostile_texts_cost_no_more_than_others(text: str) -> None:
    started = time.perf_counter()
    split_sentences(spoken_text(text))
    assert time.perf_counter() - started < 2.0
