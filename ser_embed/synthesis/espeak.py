"""Speech synthesis by the library of espeak-ng, called through ctypes.

The library keeps its state in global variables: the phase of its oscillators and the position in its noise persist
after an utterance, a new voice and even a second initialisation. Therefore it is loaded again for every utterance,
which takes less than a millisecond, and its noise generator is seeded: equal words in an equal delivery then give
equal samples, whatever was synthesised before. The library is not thread-safe, so a lock protects it.
"""

import ctypes
import dataclasses
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import espeakng_loader
import numpy as np

from ser_embed.errors import InputError

if sys.platform == "win32":
    from _ctypes import FreeLibrary as _unload
else:
    from _ctypes import dlclose as _unload

RATE_HZ = 22_050  # sampling rate of espeak-ng's formant voices
PITCH_UNITS_PER_SEMITONE = 100 / 24  # the pitch scale, 0 to 100, spans two octaves, with the voice's default at 50
_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: a callback receives the samples, and espeak_Synth returns after the last
_DO_NOT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report missing data instead of ending the process
_UTF_8 = 1  # espeakCHARS_UTF8
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_VOLUME_PERCENT = 60  # at the normal volume of 100 the loudest voices clip
# In bytes. espeak-ng copies its data path, with the names of files in it, into buffers of 160 bytes or more.
_MAX_PATH_BYTES = 120
_Receive = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Delivery:
    """Parameters of an utterance by espeak-ng.

    Attributes:
        voice: a language and a variant, such as "en-us+f3". espeak-ng ignores an unknown variant without an error.
        rate_wpm: speaking rate in words per minute, 80 to 450.
        pitch: 0 to 100; 50 is the default of the voice.
        pitch_range: 0 (monotone) to 100; 50 is the default of the voice.
    """

    voice: str
    rate_wpm: int
    pitch: int
    pitch_range: int


def speak(text: str, delivery: Delivery, seed: int) -> np.ndarray:
    """Synthesise a text.

    Args:
        text: the words to say.
        delivery: voice, rate and pitch.
        seed: seed of the noise in breath and consonants, at least 1.

    Returns:
        int16 (samples,) at `RATE_HZ`.

    Raises:
        InputError: espeak-ng cannot find its data, or does not have the voice.
    """
    parts: list[np.ndarray] = []

    @_Receive
    def receive(samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int) -> int:
        if samples and count:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    with _lock, _fresh_library() as library:
        if library.espeak_SetVoiceByName(delivery.voice.encode()) != 0:
            raise InputError(f"espeak-ng has no voice {delivery.voice!r}")
        library.espeak_SetParameter(_RATE, delivery.rate_wpm, 0)
        library.espeak_SetParameter(_VOLUME, _VOLUME_PERCENT, 0)
        library.espeak_SetParameter(_PITCH, delivery.pitch, 0)
        library.espeak_SetParameter(_RANGE, delivery.pitch_range, 0)
        library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        library.espeak_SetSynthCallback(receive)
        words = text.encode() + b"\0"
        library.espeak_Synth(words, ctypes.c_size_t(len(words)), 0, 0, 0, _UTF_8, None, None)
    return np.concatenate(parts)


@contextmanager
def _fresh_library() -> Iterator[ctypes.CDLL]:
    """Load and initialise the library, and unload it when the block ends."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        with _short_path(espeakng_loader.get_data_path()) as data:
            if library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data), _DO_NOT_EXIT) != RATE_HZ:
                raise InputError(f"espeak-ng cannot read its voices in {data}")
            yield library
    finally:
        library.espeak_Terminate()
        _unload(library._handle)


@contextmanager
def _short_path(path: str | Path) -> Iterator[str | Path]:
    """Yield a path that fits into the buffers of espeak-ng: the path itself, or a temporary link to it."""
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield path
        return
    with TemporaryDirectory() as folder:
        link = Path(folder, "voices")
        link.symlink_to(path, target_is_directory=True)
        yield link
