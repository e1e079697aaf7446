"""How emotions change speech, and how speakers differ in it.

The directions are those of the reviews named below:

- anger: faster, much louder, much higher, livelier and brighter;
- disgust: very much slower, lower, softer and darker; of the six, the one that voices show least reliably;
- fear: much faster and very much higher, neither loud nor soft. The reviews disagree about its pitch range (narrow in
  Juslin & Laukka, wide in Murray & Arnott) and its brightness (more in Scherer, less in Juslin & Laukka);
- happiness: faster, louder, higher, much livelier and a little brighter;
- sadness: slower, much softer, lower, much flatter and darker.

Sources: Murray & Arnott, "Toward the simulation of emotion in synthetic speech", JASA 93(2), 1993. Banse & Scherer,
"Acoustic profiles in vocal emotion expression", J. Pers. Soc. Psychol. 70(3), 1996. Juslin & Laukka, "Communication of
emotions in vocal expression and music performance", Psychol. Bull. 129(5), 2003. Scherer, "Vocal communication of
emotion: a review of research paradigms", Speech Communication 40, 2003.

How far each effect goes is chosen here, and so is the spread between speakers and takes: large enough that unseen
speakers are often misjudged, and that knowing the speaker helps.
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
BETWEEN_SPEAKERS = (0.10, 1.0, 0.2, 1.5, 0.4)  # of speakers' neutral voices
BETWEEN_HABITS = (0.08, 0.8, 0.2, 1.0, 0.25)  # of what one speaker does for one emotion
BETWEEN_TAKES = (0.06, 0.6, 0.15, 1.0, 0.25)  # of one speaker's clips of one emotion
EXPRESSIVENESS = (0.8, 1.4)  # what a speaker's habits are multiplied by: some act less, some more
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
        name: CREMA-D's kind of number, such as "1001".
        gender: of the espeak-ng variant.
        variant: the espeak-ng variant, which fixes the formants.
        manner: how the voice differs from others in all emotions, in the units of `EFFECTS`.
        habits: emotion -> what this speaker does for it, in the same units.
    """

    name: str
    gender: str
    variant: str
    manner: np.ndarray
    habits: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Take:
    """One way of saying something: what espeak-ng does, and what is done to its output.

    Attributes:
        delivery: for espeak-ng.
        level_db: relative to the normal level, in dB.
        tilt_db: brightness, in dB per octave.
    """

    delivery: Delivery
    level_db: float
    tilt_db: float


def draw_speaker(number: int, seed: int) -> Speaker:
    """Return the speaker of this number, counted from 0; a corpus seed makes a cast of its own."""
    random = np.random.default_rng([seed, number])
    gender, variant = VOICES[number]
    manner = random.normal(0, BETWEEN_SPEAKERS)
    strength = random.uniform(*EXPRESSIVENESS)
    habits = {
        emotion: strength * np.array(effect) + random.normal(0, BETWEEN_HABITS) for emotion, effect in EFFECTS.items()
    }
    return Speaker(str(1001 + number), gender, variant, manner, habits)


def draw_take(speaker: Speaker, emotion: str, random: np.random.Generator) -> Take:
    """Return one way in which the speaker may express the emotion."""
    rate, pitch, pitch_range, level_db, tilt_db = (
        speaker.manner + speaker.habits[emotion] + random.normal(0, BETWEEN_TAKES)
    )
    delivery = Delivery(
        voice=f"en-us+{speaker.variant}",
        rate_wpm=round(np.clip(NEUTRAL_RATE_WPM * 2**rate, 90, 330)),
        pitch=round(np.clip(50 + PITCH_UNITS_PER_SEMITONE * pitch, 0, 100)),
        pitch_range=round(np.clip(50 * 2**pitch_range, 5, 100)),
    )
    return Take(delivery, float(level_db), float(tilt_db))
