"""The convolution of S4D: against its recurrence, a direct sum, and numerical gradients."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tiles_ecg.encoder.s4_kernel import BLOCK, DiagonalKernel, convolve_causally
from tiles_ecg.optimizer.parameter_groups import decay_groups


def small(n_channels: int = 3, n_states: int = 4) -> DiagonalKernel:
    torch.manual_seed(0)
    return DiagonalKernel(n_channels, n_states).double()


def stepped(kernel: DiagonalKernel, signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Output (H, T) of x' = A x + u, y = 2 Re(C x), u (H, T) held over each step: exact, one time point at a time."""
    with torch.no_grad():
        dt = kernel.log_dt.exp().numpy()[:, None]
        pole = -kernel.log_decay.exp().numpy() + 1j * kernel.frequency.numpy()
        output = torch.view_as_complex(kernel.output.contiguous()).numpy()
    state, found = np.zeros_like(pole), np.zeros_like(signal)
    for t in range(signal.shape[1]):
        state = np.exp(dt * pole) * state + np.expm1(dt * pole) / pole * signal[:, t : t + 1]
        found[:, t] = 2 * (output * state).sum(axis=1).real
    return found


@pytest.mark.parametrize("length", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 100, 257])
def test_convolving_with_the_kernel_is_stepping_the_state_space(length: int) -> None:
    kernel, signal = small(), torch.randn(3, length, dtype=torch.float64)
    found = convolve_causally(signal[None], kernel(length))[0].detach().numpy()
    np.testing.assert_allclose(found, stepped(kernel, signal.numpy()), atol=1e-10)


def test_in_single_precision_the_kernel_of_a_long_window_is_that_of_double_precision() -> None:
    kernel = small(8, 32)
    exact = kernel(9000)
    torch.testing.assert_close(kernel.float()(9000).double(), exact, rtol=0, atol=1e-4 * exact.abs().max().item())


def test_a_shorter_kernel_is_the_beginning_of_a_longer_one() -> None:
    kernel = small()
    torch.testing.assert_close(kernel(50), kernel(300)[:, :50])


def test_the_convolution_is_the_direct_sum() -> None:
    torch.manual_seed(0)
    signal, kernel = torch.randn(2, 3, 41, dtype=torch.float64), torch.randn(3, 41, dtype=torch.float64)
    direct = torch.zeros_like(signal)
    for t in range(41):
        for k in range(t + 1):
            direct[:, :, t] += kernel[:, k] * signal[:, :, t - k]
    torch.testing.assert_close(convolve_causally(signal, kernel), direct)


def test_while_a_graph_is_exported_the_same_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, signal = small(), torch.randn(2, 3, 77, dtype=torch.float64)
    plain = convolve_causally(signal, kernel(77))
    monkeypatch.setattr("torch.compiler.is_exporting", lambda: True)
    torch.testing.assert_close(convolve_causally(signal, kernel(77)), plain)


def test_gradients_of_all_parameters_and_of_the_signal_are_those_of_finite_differences() -> None:
    kernel = small(2, 3)
    names = [name for name, _ in kernel.named_parameters()]

    def filtered(signal: Tensor, *values: Tensor) -> Tensor:
        made = torch.func.functional_call(kernel, dict(zip(names, values, strict=True)), (signal.shape[-1],))
        return convolve_causally(signal, made)

    signal = torch.randn(1, 2, BLOCK + 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(filtered, (signal, *kernel.parameters()), fast_mode=True)


def test_it_begins_as_s4d_lin() -> None:
    kernel = DiagonalKernel(2000, 5)
    torch.testing.assert_close(-kernel.log_decay.exp(), torch.full((2000, 5), -0.5))
    torch.testing.assert_close(kernel.frequency[7], math.pi * torch.arange(5.0))
    dt = kernel.log_dt.exp()
    assert 0.001 <= dt.min() < 0.0011
    assert 0.09 < dt.max() <= 0.1
    assert abs(kernel.log_dt.median().exp() - 0.01) < 0.002


def test_half_precision_weights_give_a_single_precision_kernel() -> None:
    kernel = small().float()
    found = kernel.to(torch.bfloat16)(64)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, kernel.float()(64))


def test_poles_and_steps_are_not_decayed() -> None:
    kernel = small()
    decayed, spared = (group["params"] for group in decay_groups([kernel]))
    assert [id(p) for p in decayed] == [id(kernel.output)]
    assert {id(p) for p in spared} == {id(p) for p in (kernel.log_dt, kernel.log_decay, kernel.frequency)}
