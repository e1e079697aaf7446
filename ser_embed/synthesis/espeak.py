"""Speech by espeak-ng's own library, called through ctypes.

The library keeps its state in global variables: the phase of its oscillators and the place in its noise outlive an
utterance, a new voice and even a second initialisation. So it is loaded afresh for every utterance, which takes less
than a millisecond, and its noise generator is seeded: the same words in the same delivery are then the same samples,
whatever was spoken before. It is not thread-safe either, hence the lock.
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

RATE_HZ = 22_050  # what espeak-ng's formant voices are made at
PITCH_UNITS_PER_SEMITONE = 100 / 24  # its pitch scale, 0 to 100, spans two octaves around the voice's own pitch
_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples come by callback, and espeak_Synth returns after the last
_DO_NOT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report missing data instead of ending the process
_UTF_8 = 1  # espeakCHARS_UTF8
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_HEADROOM = 60  # volume of 100 is normal, at which the loudest voices clip
_LONGEST_PATH = 120  # bytes; espeak-ng keeps its data path, and names of files in it, in buffers of 160 and up
_Receive = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Delivery:
    """How espeak-ng says something.

    Attributes:
        voice: a language and a variant, such as "en-us+f3". An unknown variant is silently ignored by espeak-ng.
        rate_wpm: words per minute, 80 to 450.
        pitch: 0 to 100; 50 is the voice's own.
        pitch_range: 0 (monotone) to 100; 50 is the voice's own.
    """

    voice: str
    rate_wpm: int
    pitch: int
    pitch_range: int


def speak(text: str, delivery: Delivery, seed: int) -> np.ndarray:
    """Return the words as speech.

    Args:
        text: what to say.
        delivery: how to say it.
        seed: of the noise in breath and consonants, at least 1.

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
        library.espeak_SetParameter(_VOLUME, _HEADROOM, 0)
        library.espeak_SetParameter(_PITCH, delivery.pitch, 0)
        library.espeak_SetParameter(_RANGE, delivery.pitch_range, 0)
        library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        library.espeak_SetSynthCallback(receive)
        words = text.encode() + b"\0"
        library.espeak_Synth(words, ctypes.c_size_t(len(words)), 0, 0, 0, _UTF_8, None, None)
    return np.concatenate(parts)


@contextmanager
def _fresh_library() -> Iterator[ctypes.CDLL]:
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
    """Give a path that fits into espeak-ng's buffer: the path itself, or else a link to it."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield path
        return
    with TemporaryDirectory() as folder:
        link = Path(folder, "voices")
        link.symlink_to(path, target_is_directory=True)
        yield link
