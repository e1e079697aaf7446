"""Raw samples: their values, and how long they are waited for."""

import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_monitor.sources.raw_pcm import PipeReader, decode_pcm
from tests.ser_monitor.sources.fakes import FakeClock


@given(values=st.lists(st.integers(-(2**15), 2**15 - 1)))
def test_samples_are_sixteen_bits_little_endian_with_full_scale_at_one(values: list[int]) -> None:
    samples = decode_pcm(b"".join(value.to_bytes(2, "little", signed=True) for value in values))
    assert samples.shape == (len(values), 1)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples[:, 0] * 2**15, values)


def test_a_stall_is_told_after_its_time_and_a_closed_reader_reads_no_more() -> None:
    clock = FakeClock()
    handle, writer = os.pipe()
    reader = PipeReader(handle, threading.Event(), clock, 3.0)
    os.write(writer, b"ab")
    assert reader.read(9) == b"ab"
    with pytest.raises(TimeoutError, match="no audio for 3 s"):
        reader.read(9)
    assert clock.now_s == pytest.approx(103, abs=0.2)
    reader.close()
    os.write(writer, b"of another file with the same descriptor")
    with pytest.raises(OSError, match="closed by its reader"):
        reader.read(9)
    os.close(handle)
    os.close(writer)
