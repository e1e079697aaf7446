"""Keras, imported once and in silence: every module that needs it takes it from here.

TensorFlow is the default backend; `KERAS_BACKEND` in the environment, or torch chosen before this module is imported,
wins. TensorFlow's native code writes its start-up notes straight to file descriptor 2, past every Python log
level, so that descriptor points elsewhere while it loads.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

__all__ = ["keras"]


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, and let it through only if the block fails."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(terminal, 2)
            held.seek(0)
            with os.fdopen(os.dup(2), "wb") as out:
                shutil.copyfileobj(held, out)
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what TensorFlow would say later, once it has read this
with _silent_stderr():
    import keras
