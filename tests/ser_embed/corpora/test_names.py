"""File-name grammars: a name made from fields is parsed into the same fields, and any other name is refused."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_embed.corpora import crema_d, demo, emodb, ravdess, savee, tess
from ser_embed.corpora.registry import CORPORA
from ser_embed.manifest import EMOTIONS, canonical_emotion

SUFFIXES = st.sampled_from([".wav", ".flac", ".mp3", ".WAV"])
FOLDERS = st.sampled_from(["", "Actor_01", "a/b", "1001_DFA_ANG_XX"])


def codes(table):
    return st.sampled_from(sorted(table))


def clip_path(folder: str, stem: str, suffix: str) -> PurePosixPath:
    return PurePosixPath(folder) / f"{stem}{suffix}"


@given(
    FOLDERS,
    st.integers(1001, 1091),
    codes(crema_d.SENTENCES),
    codes(crema_d.LABELS),
    codes(crema_d.INTENSITIES),
    SUFFIXES,
)
def test_crema_d_round_trip(folder, speaker, sentence, label, intensity, suffix):
    stem = f"{speaker}_{sentence}_{label}_{intensity}"
    fields = crema_d.parse(clip_path(folder, stem, suffix))
    assert fields == {
        "clip": stem,
        "speaker": str(speaker),
        "emotion": canonical_emotion(label),
        "sentence": sentence,
        "text": crema_d.SENTENCES[sentence],
        "intensity": crema_d.INTENSITIES[intensity],
        "language": "en",
    }
    assert demo.parse(clip_path(folder, stem, suffix)) == {**fields, "synthetic": "yes"}


@given(
    codes(ravdess.MODALITIES), codes(ravdess.CHANNELS), codes(ravdess.LABELS), codes(ravdess.INTENSITIES),
    codes(ravdess.STATEMENTS), st.sampled_from(["01", "02"]), st.integers(1, 24),
)  # fmt: skip
def test_ravdess_round_trip(modality, channel, label, intensity, statement, take, actor):
    stem = f"{modality}-{channel}-{label}-{intensity}-{statement}-{take}-{actor:02}"
    assert ravdess.parse(clip_path(f"Actor_{actor:02}", stem, ".wav")) == {
        "clip": stem,
        "speaker": f"{actor:02}",
        "emotion": ravdess.LABELS[label],
        "gender": ("female", "male")[actor % 2],
        "sentence": statement,
        "text": ravdess.STATEMENTS[statement],
        "intensity": ravdess.INTENSITIES[intensity],
        "take": take,
        "language": "en",
        "modality": ravdess.MODALITIES[modality],
        "channel": ravdess.CHANNELS[channel],
    }


@given(codes(emodb.SPEAKERS), codes(emodb.SENTENCES), codes(emodb.LABELS), st.sampled_from("abcdef"), SUFFIXES)
def test_emodb_round_trip(speaker, sentence, label, take, suffix):
    gender, age = emodb.SPEAKERS[speaker]
    assert emodb.parse(clip_path("wav", f"{speaker}{sentence}{label}{take}", suffix)) == {
        "clip": f"{speaker}{sentence}{label}{take}",
        "speaker": speaker,
        "emotion": emodb.LABELS[label],
        "gender": gender,
        "age": age,
        "sentence": sentence,
        "text": emodb.SENTENCES[sentence],
        "take": take,
        "language": "de",
    }


@given(codes(tess.AGES), st.from_regex(r"[a-z]{2,8}", fullmatch=True), codes(tess.LABELS))
def test_tess_round_trip(speaker, word, label):
    fields = tess.parse(clip_path(f"{speaker}_{label}", f"{speaker}_{word}_{label}", ".wav"))
    assert fields is not None
    assert (fields["clip"], fields["speaker"]) == (f"{speaker}_{word}_{label}", speaker)
    assert (fields["emotion"], fields["sentence"]) == (canonical_emotion(label), word)
    assert (fields["gender"], fields["age"]) == ("female", tess.AGES[speaker])


@given(codes(savee.SPEAKERS), codes(savee.LABELS), st.integers(1, 30))
def test_savee_parses_both_of_its_layouts_to_the_same_fields(speaker, label, number):
    flat = savee.parse(PurePosixPath(f"ALL/{speaker}_{label}{number:02}.wav"))
    nested = savee.parse(PurePosixPath(f"AudioData/{speaker}/{label}{number:02}.wav"))
    assert flat is not None
    assert flat == nested
    assert (flat["clip"], flat["speaker"]) == (f"{speaker}_{label}{number:02}", speaker)
    assert (flat["emotion"], flat["sentence"]) == (savee.LABELS[label], f"{label}{number:02}")


@pytest.mark.parametrize(
    ("corpus", "stem", "clip"),
    [("crema-d", "1040_ITH_SAD_X", "1040_ITH_SAD_XX"), ("tess", "OA_bite_neutral", "OAF_bite_neutral")],
)
def test_a_known_misspelling_is_corrected(corpus, stem, clip):
    fields = CORPORA[corpus].parse(PurePosixPath(f"{stem}.wav"))
    assert fields is not None
    assert fields["clip"] == clip


@pytest.mark.parametrize(
    ("corpus", "name"),
    [
        ("crema-d", "1001_DFA_ANG.wav"),
        ("crema-d", "1001_DFA_JOY_XX.wav"),
        ("crema-d", "1001_DFA_ANG_XX (1).wav"),
        ("ravdess", "03-01-09-01-01-01-01.wav"),
        ("ravdess", "03-01-06-01-02-01-25.wav"),
        ("ravdess", "03-01-06-01-02-01.wav"),
        ("emodb", "04a01Fa.wav"),
        ("emodb", "03a01Xa.wav"),
        ("emodb", "03a03Fa.wav"),
        ("tess", "OAF_back_joy.wav"),
        ("savee", "a01.wav"),
        ("savee", "XX_a01.wav"),
        ("savee", "DC_a1.wav"),
    ],
)
def test_a_name_outside_the_grammar_is_refused(corpus, name):
    assert CORPORA[corpus].parse(PurePosixPath(name)) is None


@given(st.text(max_size=30), st.sampled_from(sorted(CORPORA)))
def test_any_text_is_parsed_or_refused(text, corpus):
    fields = CORPORA[corpus].parse(PurePosixPath(f"{text}.wav"))
    assert fields is None or {"clip", "speaker", "emotion"} <= fields.keys()


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=list(CORPORA))
def test_labels_are_canonical(corpus):
    assert set(corpus.labels.values()) <= set(EMOTIONS)
    assert len(set(corpus.labels.values())) == len(corpus.labels)
