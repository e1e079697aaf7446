"""Prosody of the synthetic speakers: the effect of each emotion, and the differences between speakers and takes.

The directions of the effects are those of the reviews below:

- anger: faster, much louder, much higher, livelier and brighter;
- disgust: very much slower, lower, softer and darker; of the six, the emotion that voices express least reliably;
- fear: much faster and very much higher, neither loud nor soft. The reviews disagree about its pitch range (narrow in
  Juslin & Laukka, wide in Murray & Arnott) and its brightness (more in Scherer, less in Juslin & Laukka);
- happiness: faster, louder, higher, much livelier and a little brighter;
- sadness: slower, much softer, lower, much flatter and darker.

Sources: Murray & Arnott, "Toward the simulation of emotion in synthetic speech", JASA 93(2), 1993. Banse & Scherer,
"Acoustic profiles in vocal emotion expression", J. Pers. Soc. Psychol. 70(3), 1996. Juslin & Laukka, "Communication of
emotions in vocal expression and music performance", Psychol. Bull. 129(5), 2003. Scherer, "Vocal communication of
emotion: a review of research paradigms", Speech Communication 40, 2003.

The size of each effect and the variation between speakers and takes are choices of this library: large enough that
emotions of unseen speakers are often confused, and that information about the speaker helps.
"""

import dataclasses

import numpy as np

from ser_embed.synthesis.espeak import PITCH_UNITS_PER_SEMITONE, Delivery

# Change from the speaker's neutral voice: speaking rate (octaves: 0.25 is 19 % faster), pitch (semitones), pitch range
# (octaves), level (dB), brightness (dB per octave).
EFFECTS = {
    "ANG": (0.25, 4.0, 0.5, 7.0, 3.0),
    "DIS": (-0.45, -3.0, 0.1, -2.0, -1.0),
    "FEA": (0.40, 7.0, -0.5, 0.0, 2.0),
    "HAP": (0.20, 5.0, 0.8, 5.0, 0.5),
    "NEU": (0.0, 0.0, 0.0, 0.0, 0.0),
    "SAD": (-0.35, -2.0, -1.0, -6.0, -2.5),
}
# Standard deviations in the same units.
SPEAKER_SD = (0.10, 1.0, 0.2, 1.5, 0.4)  # between the neutral voices of speakers
EFFECT_SD = (0.08, 0.8, 0.2, 1.0, 0.25)  # between speakers in the effect of one emotion
TAKE_SD = (0.06, 0.6, 0.15, 1.0, 0.25)  # between the clips of one speaker and emotion
EXPRESSIVENESS_RANGE = (0.8, 1.4)  # of the factor by which a speaker multiplies `EFFECTS`
NEUTRAL_RATE_WPM = 165
VOICES = (
    ("female", "f1"), ("male", "m1"), ("female", "f2"), ("male", "m2"), ("female", "f4"), ("male", "m3"),
    ("female", "f5"), ("male", "m4"), ("female", "Andrea"), ("male", "m6"), ("female", "Alicia"), ("male", "m7"),
    ("female", "linda"), ("male", "m8"), ("female", "steph"), ("male", "Michael"),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Speaker:
    """A synthetic speaker.

    Attributes:
        name: a number as in CREMA-D, such as "1001".
        gender: gender of the espeak-ng variant.
        variant: the espeak-ng variant, which determines the formants.
        voice_offset: deviation of this voice in all emotions, (5,) in the units of `EFFECTS`.
        emotion_effects: emotion -> its effect on this speaker's voice, (5,) in the same units.
    """

    name: str
    gender: str
    variant: str
    voice_offset: np.ndarray
    emotion_effects: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Take:
    """Parameters of one clip: the delivery of espeak-ng, and the processing of its output.

    Attributes:
        delivery: voice, rate and pitch for espeak-ng.
        level_db: level relative to the normal level, in dB.
        tilt_db: slope added to the spectrum (brightness), in dB per octave.
    """

    delivery: Delivery
    level_db: float
    tilt_db: float


def draw_speaker(number: int, seed: int) -> Speaker:
    """Draw the speaker of a number, counted from 0; every corpus seed gives other speakers."""
    random = np.random.default_rng([seed, number])
    gender, variant = VOICES[number]
    voice_offset = random.normal(0, SPEAKER_SD)
    expressiveness = random.uniform(*EXPRESSIVENESS_RANGE)
    emotion_effects = {
        emotion: expressiveness * np.array(effect) + random.normal(0, EFFECT_SD) for emotion, effect in EFFECTS.items()
    }
    return Speaker(str(1001 + number), gender, variant, voice_offset, emotion_effects)


def draw_take(speaker: Speaker, emotion: str, random: np.random.Generator) -> Take:
    """Draw one take of an emotion by a speaker.

    Args:
        speaker: the speaker.
        emotion: a label of `EFFECTS`, such as "ANG".
        random: the source of the variation between takes.
    """
    rate, pitch, pitch_range, level_db, tilt_db = (
        speaker.voice_offset + speaker.emotion_effects[emotion] + random.normal(0, TAKE_SD)
    )
    delivery = Delivery(
        voice=f"en-us+{speaker.variant}",
        rate_wpm=round(np.clip(NEUTRAL_RATE_WPM * 2**rate, 90, 330)),
        pitch=round(np.clip(50 + PITCH_UNITS_PER_SEMITONE * pitch, 0, 100)),
        pitch_range=round(np.clip(50 * 2**pitch_range, 5, 100)),
    )
    return Take(delivery, float(level_db), float(tilt_db))
