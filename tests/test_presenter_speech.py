"""The presenter's speech: phones to mouth shapes, coarticulation, layout in time. No assets are needed."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("PIL", reason="the presenter needs the extra `lab`")

from presenter.defaults import TEXT
from presenter.timeline import around_speech, read_sentences, speak_text
from recipe.articulation import coarticulation as co
from recipe.articulation.speakers import SAMPLE_RATE_HZ, Speech, SpeechError, read_speech, speaker
from recipe.articulation.visemes import SHAPES, VISEME_OF_SHAPE, VISEMES, Phone, UnknownPhoneError, shapes_of_phone


def mouth(shapes: str, length_s: float = 0.1) -> tuple[co.MouthTrack, list[co.Segment]]:
    """Track of shapes of equal length, silence around them."""
    names = ["sil", *shapes.split(), "sil"]
    segments = [co.Segment(name, i * length_s, (i + 1) * length_s) for i, name in enumerate(names)]
    return co.mouth_track(segments, len(names) * length_s), segments


def unit(track: co.MouthTrack, name: str) -> np.ndarray:
    return track.weights_RU[:, co.UNITS.index(name)]


def fake_voice(text: str) -> Speech:
    """A tone, one phone a letter, 50 ms each."""
    letters = [x for x in text.lower() if x in "pfst"] or ["t"]
    phones = tuple(Phone(x, i * 0.05, (i + 1) * 0.05) for i, x in enumerate(letters))
    time_s = np.arange(int(len(letters) * 0.05 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return Speech(np.sin(700 * time_s).astype(np.float32) * 0.3, phones, "arpabet")


def test_every_shape_is_a_viseme_and_all_visemes_occur() -> None:
    assert set(VISEME_OF_SHAPE) == set(SHAPES)
    assert set(VISEME_OF_SHAPE.values()) == set(VISEMES)


@pytest.mark.parametrize(
    ("phone", "alphabet", "expected"),
    [
        ("ay", "arpabet", ["aa", "I"]),
        ("p", "arpabet", ["PP"]),
        ("aɪ", "ipa", ["aa", "I"]),
        ("ˈoʊ", "ipa", ["O", "UH"]),
        ("tʃ", "ipa", ["CH"]),
        ("iː", "ipa", ["IY"]),
        ("_:", "ipa", ["sil"]),
    ],
)
def test_phones_become_shapes(phone: str, alphabet: str, expected: list[str]) -> None:
    assert shapes_of_phone(phone, alphabet) == expected


def test_an_unknown_phone_is_named() -> None:
    with pytest.raises(UnknownPhoneError, match="'qq'"):
        shapes_of_phone("qq", "arpabet")


@pytest.mark.parametrize("neighbour", ["aa", "ae", "O", "IY", "SS"])
@pytest.mark.parametrize("length_s", [0.045, 0.08, 0.15])
def test_p_b_m_close_between_any_sounds(neighbour: str, length_s: float) -> None:
    track, segments = mouth(f"{neighbour} PP {neighbour}", length_s)
    middle = round((segments[2].start_s + segments[2].stop_s) / 2 * co.RATE_HZ)
    assert unit(track, "jawOpen")[middle] < 0.02
    assert unit(track, "mouthLowerDownLeft")[middle] < 0.02
    # Closed for at least one frame's length, so that a frame at 25 fps shows it.
    assert (unit(track, "jawOpen")[middle - 3 : middle + 4] < 0.03).all()


def test_f_tucks_the_lower_lip_and_keeps_the_jaw_up() -> None:
    track, segments = mouth("aa FF aa")
    middle = round((segments[2].start_s + segments[2].stop_s) / 2 * co.RATE_HZ)
    assert unit(track, "lowerLipIn")[middle] > 0.9 * SHAPES["FF"]["lowerLipIn"]
    assert unit(track, "jawOpen")[middle] < 0.06


def test_lips_round_before_a_rounded_vowel_but_not_before_a_spread_one() -> None:
    spoon, segments = mouth("SS PP U DD")
    spin, _ = mouth("SS PP IY DD")
    during_s = slice(*(round(x * co.RATE_HZ) for x in (segments[1].start_s, segments[1].stop_s)))
    assert unit(spoon, "mouthPucker")[during_s].mean() > 3 * max(unit(spin, "mouthPucker")[during_s].mean(), 0.01)


def test_a_longer_vowel_opens_more_and_a_wider_one_opens_wider() -> None:
    openings = [unit(mouth("DD aa DD", length)[0], "jawOpen").max() for length in (0.05, 0.08, 0.12, 0.2)]
    assert all(a < b for a, b in itertools.pairwise(openings))
    by_vowel = [unit(mouth(f"DD {vowel} DD")[0], "jawOpen").max() for vowel in ("IY", "I", "E", "ae", "aa")]
    assert all(a < b for a, b in itertools.pairwise(by_vowel))


def test_far_sounds_do_not_matter() -> None:
    near, far = mouth("aa DD DD DD DD DD DD DD")[0], mouth("aa DD DD DD DD DD DD U")[0]
    np.testing.assert_array_equal(near.weights_RU[:40], far.weights_RU[:40])


def test_viseme_activations_sum_to_one_and_name_the_sound() -> None:
    track, segments = mouth("aa PP IY FF U SS")
    np.testing.assert_allclose(track.visemes_R15[5:-5].sum(1), 1, atol=1e-3)
    for segment in segments[1:-1]:
        middle = round((segment.start_s + segment.stop_s) / 2 * co.RATE_HZ)
        assert VISEMES[track.visemes_R15[middle].argmax()] == VISEME_OF_SHAPE[segment.shape]


def test_a_recording_is_silent_at_both_ends_and_its_phones_have_no_gap() -> None:
    timeline = speak_text([["Stop it.", "Fast!"], ["Tip top."] * 60], fake_voice, 30.0, seed=3)
    assert timeline.frames == 750
    assert not timeline.pcm_S[: 8 * SAMPLE_RATE_HZ].any()
    assert not timeline.pcm_S[-8 * SAMPLE_RATE_HZ :].any()
    assert timeline.phones[0] == Phone("pau", 0.0, 8.0)
    for a, b in itertools.pairwise(timeline.phones):
        assert a.stop_s == pytest.approx(b.start_s)
    assert timeline.phones[-1].stop_s == 30.0
    gaps = [b[0] - a[1] for a, b in itertools.pairwise(timeline.sentences)]
    assert min(gaps) >= 0.25
    assert max(gaps) >= 0.9


def test_the_pauses_follow_the_seed() -> None:
    paragraphs = [["Stop it.", "Fast!"]] * 40

    def starts(seed: int) -> list[float]:
        return [s for s, _, _ in speak_text(paragraphs, fake_voice, 30.0, seed).sentences]

    assert starts(1) == starts(1)
    assert starts(1) != starts(2)


def test_a_text_that_ends_too_early_is_an_error() -> None:
    with pytest.raises(ValueError, match="give a longer text"):
        speak_text([["Stop."]], fake_voice, 60.0, seed=1)


def test_the_shipped_text_holds_every_sound_often() -> None:
    if shutil.which("flite") is None:
        pytest.skip("flite is not installed")
    sentences = [sentence for paragraph in read_sentences(TEXT) for sentence in paragraph]
    assert len(sentences) >= 100
    assert any(s.endswith("?") for s in sentences)
    assert any(s.endswith("!") for s in sentences)
    speak = speaker("flite:slt")
    count: dict[str, int] = {}
    for sentence in sentences[::3]:
        for phone in speak(sentence).phones:
            for shape in shapes_of_phone(phone.name, "arpabet"):
                count[shape] = count.get(shape, 0) + 1
    assert set(count) == set(SHAPES)
    assert min(count.values()) >= 5


@pytest.mark.parametrize("voice", ["flite:slt", "espeak:en-us"])
def test_engines_give_sound_with_phones_that_cover_it(voice: str) -> None:
    if voice.startswith("flite") and shutil.which("flite") is None:
        pytest.skip("flite is not installed")
    speech = speaker(voice)("Bob made five cheap maps.")
    shapes = [s for p in speech.phones for s in shapes_of_phone(p.name, speech.alphabet)]
    assert shapes.count("PP") == 6  # Bob, made, cheap, maps
    assert shapes.count("FF") == 2
    assert speech.phones[-1].stop_s == pytest.approx(speech.duration_s)
    level = np.abs(speech.pcm_S)
    vowel = max(speech.phones, key=lambda p: p.stop_s - p.start_s if "a" in p.name and p.name != "pau" else 0)
    inside = level[int(vowel.start_s * SAMPLE_RATE_HZ) : int(vowel.stop_s * SAMPLE_RATE_HZ)]
    assert inside.mean() > 2 * level[: int(0.02 * SAMPLE_RATE_HZ)].mean()


def test_a_faster_rate_shortens_speech() -> None:
    slow, fast = (speaker("espeak:en-us", rate)("Nobody knows why.").duration_s for rate in (0.8, 1.4))
    assert fast < 0.75 * slow


def test_an_unknown_voice_is_an_error() -> None:
    with pytest.raises(SpeechError, match="choose flite"):
        speaker("flite:nobody")


def test_speech_from_files(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(8000, np.int16), 8000)
    (tmp_path / "a.tsv").write_text("# start stop phone\n0.0 0.4 m\n0.4 0.9 aa\n")
    speech = read_speech(tmp_path / "a.wav", tmp_path / "a.tsv")
    assert [p.name for p in speech.phones] == ["m", "aa"]
    assert speech.duration_s == pytest.approx(1.0)
    assert around_speech(speech, 2.0).frames == 125
    (tmp_path / "a.tsv").write_text("0.4 0.9 aa\n0.0 0.4 m\n")
    with pytest.raises(SpeechError, match="line 2: times must grow"):
        read_speech(tmp_path / "a.wav", tmp_path / "a.tsv")
