"""Keras, imported without start-up messages: every module that needs Keras imports it from here.

TensorFlow is the backend unless the environment variable `KERAS_BACKEND` names another before this module is imported.
TensorFlow's native code writes its start-up messages directly to file descriptor 2, past every Python log level, so
that descriptor is redirected while it loads.
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
    """Buffer what is written to file descriptor 2, and write it out only if the block fails, not if it is stopped."""
    sys.stderr.flush()
    stderr_copy = os.dup(2)
    with tempfile.TemporaryFile() as buffer:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        except Exception:
            os.dup2(stderr_copy, 2)
            buffer.seek(0)
            with os.fdopen(os.dup(2), "wb") as stderr:
                shutil.copyfileobj(buffer, stderr)
            raise
        finally:
            os.dup2(stderr_copy, 2)
            os.close(stderr_copy)


os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides what TensorFlow would write later
with _silent_stderr():
    import keras
