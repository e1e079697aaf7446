"""Positional convolution, compared with torch's Conv1d."""

import pytest
import torch

from ser_embed.encoders.kernels.positional_conv import FourierConv, PaddedConv, keep_exact
from ser_embed.encoders.kernels.ragged import EQUAL_LENGTH, group_clips

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("channels", [1, 2, 8, 12, 16, 20, 64])
def test_keep_exact_is_right_in_bfloat16_with_any_groups(channels: int) -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv1d(4 * channels, 4 * channels, 16, padding=8, groups=4)
    frames = torch.randn(2, 4 * channels, 99)
    with torch.inference_mode():
        float32 = conv(frames)
        keep_exact(conv.bfloat16())
        bfloat16 = conv(frames.bfloat16())
    assert bfloat16.dtype == torch.bfloat16
    assert torch.cosine_similarity(float32.flatten(), bfloat16.float().flatten(), dim=0) > 0.9999


@pytest.mark.parametrize("frames", [1, 2, 16, 17, 31, 32, 33, 250])
@pytest.mark.parametrize(("kernel", "bias"), [(16, True), (15, False), (1, True)])
def test_fourier_and_padded_convolution_equal_conv1d(frames: int, kernel: int, bias: bool) -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv1d(12, 12, kernel, padding=kernel // 2, groups=3, bias=bias).requires_grad_(False)
    clips = [torch.randn(frames, 12), torch.randn(9, 12)]
    rows, counts = torch.cat(clips), [frames, 9]
    groups = group_clips(counts, EQUAL_LENGTH, "cpu")

    def convolve(rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([conv(clip.T[None])[0, :, : len(clip)].T for clip in rows.split(counts)])

    torch.testing.assert_close(FourierConv(conv)(rows, groups), convolve(rows), rtol=0, atol=2e-6)
    bfloat16 = FourierConv(conv)(rows.bfloat16(), groups)
    assert bfloat16.dtype == torch.bfloat16
    torch.testing.assert_close(bfloat16.float(), convolve(rows.bfloat16().float()), rtol=8e-3, atol=2e-6)
    padded = group_clips(counts, 0.0, "cpu")  # as on an accelerator
    torch.testing.assert_close(PaddedConv(conv)(rows, padded), convolve(rows), rtol=0, atol=2e-6)
