"""Strided convolutions whose gradients are the same on processors with caches of any size.

oneDNN cuts the gradient of a strided convolution with respect to its films into blocks that fit the second-level cache
(brgconv_strided), and the blocks order the sums. Its other convolutions add up in one order.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_input, conv2d_weight


class StridedConvolution(torch.autograd.Function):
    """A strided convolution is the dense one of which every n-th result is kept, and its gradient is computed so."""

    @staticmethod
    def forward(ctx: Any, films: Tensor, weight: Tensor, layer: nn.Conv2d) -> Tensor:
        ctx.save_for_backward(films, weight)
        ctx.layer = layer
        return nn.functional.conv2d(films, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
        films, weight = ctx.saved_tensors
        layer: nn.Conv2d = ctx.layer
        of_films, rest = None, (layer.padding, layer.dilation, layer.groups)
        if ctx.needs_input_grad[0]:
            of_films = conv2d_input(films.shape, weight, spread(gradient, films, layer), 1, *rest)  # type: ignore[no-untyped-call]
        of_weight = conv2d_weight(films, weight.shape, gradient, layer.stride, *rest)  # type: ignore[no-untyped-call]
        return of_films, of_weight, None


def spread(gradient: Tensor, films: Tensor, layer: nn.Conv2d) -> Tensor:
    """The gradient of the dense convolution's results: zero between those that the stride keeps.

    Args:
        gradient: of the strided results, (N, C, H', W').
        films: that the layer was given, (N, C, H, W).
    """
    assert not isinstance(layer.padding, str)
    axes = zip(films.shape[2:], layer.padding, layer.dilation, layer.kernel_size, strict=True)
    sides = [side + 2 * padding - dilation * (kernel - 1) for side, padding, dilation, kernel in axes]
    dense = gradient.new_zeros(*gradient.shape[:2], *sides).contiguous(memory_format=torch.channels_last)
    dense[:, :, :: layer.stride[0], :: layer.stride[1]] = gradient
    return dense


class PortableConv2d(nn.Conv2d):
    """A strided convolution whose gradient depends on no cache."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        result: Tensor = StridedConvolution.apply(input, self.weight, self)
        return result if self.bias is None else result + self.bias[:, None, None]


def make_portable(network: nn.Module) -> nn.Module:
    """The same network, its strided convolutions in the form above; weights and forward pass stay as they are."""
    from stages.train.timm_layers import Conv2dSame, PortableConv2dSame  # timm is there, since the network is built

    portable: dict[type[nn.Module], type[nn.Conv2d]] = {nn.Conv2d: PortableConv2d, Conv2dSame: PortableConv2dSame}
    for module in network.modules():
        kind = portable.get(type(module))
        if kind and isinstance(module, nn.Conv2d) and max(module.stride) > 1 and module.padding_mode == "zeros":
            module.__class__ = kind
    return network
