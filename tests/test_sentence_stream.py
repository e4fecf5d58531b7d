"""A text that is written in pieces gives the sentences that the whole gives, each as soon as it is complete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.speech.sentence_stream import SentenceStream
from services.speech.text import sentences_in

TEXT = (
    'Hello there. Dr. Who has 3.5 apples! "Really?" he asked. On 3. Mai 2024 it rained... And then? '
    "One more\nline of it.\n\nA new paragraph: yes\n\nAnother, e.g. this one. 你好。再见。 The end"
)


@given(st.lists(st.integers(1, 25), min_size=1))
def test_it_does_not_matter_where_the_text_is_cut(lengths: list[int]) -> None:
    stream, found, at, turn = SentenceStream(), [], 0, 0
    while at < len(TEXT):
        length = lengths[turn % len(lengths)]
        found += stream.push(TEXT[at : at + length])
        at, turn = at + length, turn + 1
    assert found + stream.finish() == sentences_in(TEXT)


@pytest.mark.parametrize(
    ("pieces", "complete"),
    [
        (["Good morning. "], []),  # "Good morning. said"?
        (["Good morning.", " H"], ["Good morning."]),
        (["See Dr. Who"], []),
        (["It costs 3. ", "5"], []),
        (["It was 1999. ", "Then "], ["It was 1999."]),
        (["A title\n\n", "T"], ["A title"]),
        (["... ", "Well"], []),
    ],
)
def test_a_sentence_comes_out_when_what_follows_says_that_it_is_over(pieces: list[str], complete: list[str]) -> None:
    stream = SentenceStream()
    assert [sentence for piece in pieces for sentence in stream.push(piece)] == complete


def test_emphasis_over_two_sentences_is_not_spoken() -> None:
    stream = SentenceStream()
    assert stream.push("This is **very good. It really** is 2*3. And so") == ["This is very good.", "It really is 2×3."]
