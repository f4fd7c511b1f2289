"""Functions of a tensor (batch, *shape) for every operation of ATen that has a rule, by the operation's name."""

import torch
from torch.nn import functional as F  # noqa: N812

VECTOR, ROWS, LINE, IMAGE, VOLUME = (6,), (2, 3), (2, 5), (2, 4, 4), (1, 3, 3, 3)
_RNG = torch.Generator().manual_seed(0)


def constant(*shape):
    return torch.randn(*shape, generator=_RNG, dtype=torch.float64)


A, B, C = constant(6, 4), constant(6), constant(2, 3)
MASK, INDEX = torch.tensor([True, False, True, True, False, False]), torch.tensor([3, 0, 0, 5])
STACKED, LEFT, KERNEL = constant(1, 3, 2), constant(4, 2), constant(2, 2, 2, 2)
RIGHT = constant(3, 2)
VAR = constant(2).abs() + 0.5


def written(x):
    y = torch.zeros_like(x)
    y[:, :3] = 2.0 * x[:, 3:]
    y[:, 3:] += x[:, :3]
    return y.mul_(B)


AFFINE = {
    "view": (lambda x: x.view(-1, 2, 3), VECTOR),
    "_unsafe_view": (lambda x: x.transpose(1, 2).reshape(-1, 6), ROWS),
    "squeeze": (lambda x: x[:, :1].squeeze(1), VECTOR),
    "unsqueeze": (lambda x: x.unsqueeze(1), VECTOR),
    "clone": (lambda x: x.clone(), VECTOR),
    "alias": (lambda x: torch.ops.aten.alias(x), VECTOR),
    "detach": (lambda x: x.detach(), VECTOR),
    "permute": (lambda x: x.permute(0, 2, 1), ROWS),
    "transpose": (lambda x: x.transpose(1, 2), ROWS),
    "t": (lambda x: (x.t() * 2.0).t(), VECTOR),
    "slice": (lambda x: x[:, 1:5:2], VECTOR),
    "select": (lambda x: x[:, 2], ROWS[::-1]),
    "cat": (lambda x: torch.cat([x, B.expand(len(x), 6), 2.0 * x], 1), VECTOR),
    "stack": (lambda x: torch.stack([x, -x], 1), VECTOR),
    "unbind": (lambda x: sum(x.unbind(1)), ROWS),
    "split": (lambda x: x.split(4, 1)[1], VECTOR),
    "unsafe_split": (lambda x: torch.unsafe_split(x, 4, 1)[0], VECTOR),
    "split_with_sizes": (lambda x: x.split([1, 5], 1)[1], VECTOR),
    "expand": (lambda x: x[:, None].expand(-1, 2, -1) * C[:, :1], VECTOR),
    "flip": (lambda x: x.flip(1), VECTOR),
    "roll": (lambda x: x.roll(2, 1), VECTOR),
    "index": (lambda x: x[:, INDEX], VECTOR),
    "index_select": (lambda x: x.index_select(1, INDEX), VECTOR),
    "gather": (lambda x: x.gather(1, INDEX.expand(len(x), 4)), VECTOR),
    "diagonal": (lambda x: x.diagonal(dim1=1, dim2=2), ROWS),
    "unfold": (lambda x: x.unfold(1, 3, 2), VECTOR),
    "tril": (lambda x: x.tril(), ROWS),
    "triu": (lambda x: x.triu(1), ROWS),
    "repeat": (lambda x: x.repeat(1, 2), VECTOR),
    "im2col": (lambda x: F.unfold(x, 2), IMAGE),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), (4, 2, 1)),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), IMAGE),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 2), (4, 2, 1)),
    "masked_select": (lambda x: x.masked_select(MASK).view(len(x), 3), VECTOR),
    "reflection_pad1d": (lambda x: F.pad(x, (2, 1), mode="reflect"), LINE),
    "reflection_pad2d": (lambda x: F.pad(x, (1, 1, 2, 0), mode="reflect"), IMAGE),
    "reflection_pad3d": (lambda x: F.pad(x, (1, 0, 0, 1, 1, 0), mode="reflect"), VOLUME),
    "replication_pad1d": (lambda x: F.pad(x, (2, 1), mode="replicate"), LINE),
    "replication_pad2d": (lambda x: F.pad(x, (1, 1, 2, 0), mode="replicate"), IMAGE),
    "replication_pad3d": (lambda x: F.pad(x, (1, 0, 0, 1, 1, 0), mode="replicate"), VOLUME),
    "upsample_nearest1d": (lambda x: F.interpolate(x, scale_factor=2), LINE),
    "upsample_nearest2d": (lambda x: F.interpolate(x, size=(3, 5)), IMAGE),
    "upsample_nearest3d": (lambda x: F.interpolate(x, scale_factor=2), (1, 2, 1, 2)),
    "_upsample_nearest_exact1d": (lambda x: F.interpolate(x, size=3, mode="nearest-exact"), LINE),
    "_upsample_nearest_exact2d": (lambda x: F.interpolate(x, size=(3, 2), mode="nearest-exact"), IMAGE),
    "constant_pad_nd": (lambda x: F.pad(x, (1, 2), value=0.7), VECTOR),
    "where": (lambda x: torch.where(MASK, x, B), VECTOR),
    "masked_fill": (lambda x: x.masked_fill(MASK, 0.7), VECTOR),
    "slice_scatter": (lambda x: torch.slice_scatter(x, B[:2].expand(len(x), 2), 1, 1, 3), VECTOR),
    "select_scatter": (lambda x: torch.select_scatter(x, 2.0 * x[:, 1], 1, 0), ROWS),
    "diagonal_scatter": (lambda x: torch.diagonal_scatter(x, B[:2].expand(len(x), 2), 0, 1, 2), ROWS),
    "index_put": (lambda x: torch.index_put(x.T, (INDEX[:2],), B[:2, None]).T, VECTOR),
    "scatter": (lambda x: x.scatter(1, INDEX[:2].expand(len(x), 2), x[:, :2] * 2.0), VECTOR),
    "overlay": (written, VECTOR),
    "copy": (written, VECTOR),
    "as_strided": (lambda x: x.as_strided((len(x), 2, 3), (6, 1, 2)), VECTOR),
    "diag_embed": (lambda x: torch.diag_embed(x[:, :2]), VECTOR),
    "filled": (lambda x: x.clone().fill_(0.5) + x, VECTOR),
    "_to_copy": (lambda x: x.to(torch.float64, copy=True), VECTOR),
    "sum": (lambda x: x.sum(1), ROWS),
    "cumsum": (lambda x: x.cumsum(1), VECTOR),
    "col2im": (lambda x: F.fold(x, (3, 3), 2), (4, 4)),
    "index_add": (lambda x: torch.zeros_like(x).index_add(1, INDEX, x[:, :4]), VECTOR),
    "scatter_add": (lambda x: torch.zeros_like(x).scatter_add(1, INDEX.expand(len(x), 4), x[:, :4]), VECTOR),
    "mean": (lambda x: x.mean((1, 2)), IMAGE),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), IMAGE),
    "avg_pool3d": (lambda x: F.avg_pool3d(x, 2, 1, 1, count_include_pad=False), VOLUME),
    "_adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (3, 2)), IMAGE),
    "_adaptive_avg_pool3d": (lambda x: F.adaptive_avg_pool3d(x, 2), VOLUME),
    "upsample_linear1d": (lambda x: F.interpolate(x, size=8, mode="linear"), LINE),
    "upsample_bilinear2d": (lambda x: F.interpolate(x, size=(3, 6), mode="bilinear", align_corners=True), IMAGE),
    "_upsample_bilinear2d_aa": (lambda x: F.interpolate(x, size=(3, 2), mode="bilinear", antialias=True), IMAGE),
    "upsample_bicubic2d": (lambda x: F.interpolate(x, size=(3, 6), mode="bicubic"), IMAGE),
    "upsample_trilinear3d": (lambda x: F.interpolate(x, size=(2, 3, 4), mode="trilinear"), VOLUME),
    "mm": (lambda x: x @ A, VECTOR),
    "bmm": (lambda x: LEFT @ (x @ RIGHT), ROWS),
    "linear": (torch.inference_mode()(lambda x: F.linear(x, A.T, B[:4])), VECTOR),
    "mv": (lambda x: x @ B, VECTOR),
    "addmm": (lambda x: torch.addmm(B[:4], x, A, beta=0.5, alpha=2.0), VECTOR),
    "addmv": (lambda x: torch.addmv(torch.zeros(len(x), dtype=x.dtype), x, B, alpha=3.0), VECTOR),
    "baddbmm": (lambda x: torch.baddbmm(C[:, :2], x, STACKED.expand(len(x), 3, 2), alpha=2.0), ROWS),
    "convolution": (lambda x: F.conv_transpose2d(F.conv2d(x, KERNEL, B[:2]), KERNEL, stride=2), IMAGE),
    "addcmul": (lambda x: torch.addcmul(B, x, A.sum(1), value=0.5), VECTOR),
    "native_batch_norm": (lambda x: F.batch_norm(x, C[:, 0], VAR, C[:, 1], C[:, 2]), IMAGE),
    "add": (lambda x: torch.add(x, x.flip(1), alpha=0.3) + 1.0, VECTOR),
    "sub": (lambda x: B - x - 2.0 * x, VECTOR),
    "rsub": (lambda x: torch.rsub(x, x.flip(1), alpha=2.0) + torch.rsub(x, 3.0), VECTOR),
    "neg": (lambda x: -x, VECTOR),
    "mul": (lambda x: 0.5 * x * B * B[0], VECTOR),
    "div": (lambda x: x / B / 3.0, VECTOR),
}  # fmt: skip

ELEMENTWISE = {
    "relu": torch.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.3),
    "_prelu_kernel": lambda x: F.prelu(x, B),
    "rrelu_with_noise": lambda x: F.rrelu(x),
    "gelu": F.gelu,
    "abs": torch.abs,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "ndtr": torch.special.ndtr,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "softplus": lambda x: F.softplus(x, 2.0, 1.5),
    "elu": lambda x: F.elu(x, 0.7),
    "celu": lambda x: F.celu(x, 0.7),
    "mish": F.mish,
    "log_sigmoid_forward": F.logsigmoid,
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 0.8),
    "clamp": lambda x: x.clamp(-0.4, 1.0),
    "clamp_min": lambda x: x.clamp_min(0.3),
    "clamp_max": lambda x: x.clamp_max(0.3),
    "hardsigmoid": lambda x: F.hardsigmoid(4.0 * x),  # of which samples see both kinks
    "hardswish": lambda x: F.hardswish(4.0 * x),
    "softshrink": F.softshrink,
    "hardshrink": F.hardshrink,
    "threshold": lambda x: F.threshold(x, 0.2, -0.3),
    "sign": torch.sign,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "atan": torch.atan,
    "asinh": torch.asinh,
    "square": torch.square,
    "pow": lambda x: x**3,
    "sqrt": lambda x: torch.sqrt(1.0 + x * x),
    "rsqrt": lambda x: torch.rsqrt(1.0 + x * x),
    "log": lambda x: torch.log(1.0 + x * x),
    "log1p": lambda x: torch.log1p(x * x),
    "reciprocal": lambda x: 1.0 / (1.0 + x.abs()),
    "maximum": lambda x: torch.maximum(x, x.flip(1)),
    "minimum": lambda x: torch.minimum(0.5 * x, x.roll(1, 1)),
    "where": lambda x: torch.where(x > 0.2, x, torch.zeros_like(x)),
    "masked_fill": lambda x: x.masked_fill(x < 0.1, 0.5),
    "gt": lambda x: (x > 0.2).to(x.dtype) * x,
    "ge": lambda x: (x >= 0.2) * x,
    "lt": lambda x: (x < 0.2) * x,
    "le": lambda x: (x <= x.abs() - 0.5) * x,
    "_to_copy": lambda x: (x > 0.0).double(),
    "logical_not": lambda x: torch.where(torch.logical_not(x > 0.0), -x, 0.5 * x),
    "logical_and": lambda x: torch.where(torch.logical_and(x > -0.5, x < 0.5), x, 0.0),
    "logical_or": lambda x: torch.where(torch.logical_or(x > 0.5, x < -0.5), x, 0.0),
}


def instance_normed(x):
    return F.instance_norm(x, weight=C[:, 0], bias=C[:, 1])


# Several elements together: what covariances may be off beside samples, of their standard deviations
JOINT = {
    "mul": (lambda x: x * x.flip(1), VECTOR, 0.0),
    "bmm": (lambda x: x @ x.transpose(1, 2), ROWS, 0.0),
    "baddbmm": (lambda x: torch.baddbmm(x[:, :, :2], x, x.mT, beta=0.5, alpha=2.0), ROWS, 0.0),
    "addcmul": (lambda x: torch.addcmul(x, x, x.roll(1, 1), value=0.5), VECTOR, 0.0),
    "_softmax": (lambda x: x.softmax(1), VECTOR, 0.01),
    "_safe_softmax": (lambda x: F.scaled_dot_product_attention(x, x, x), ROWS, 0.1),
    "_log_softmax": (lambda x: x.log_softmax(2), ROWS, 0.01),
    "logsumexp": (lambda x: x.logsumexp((1, 2)), ROWS, 0.01),
    "amax": (lambda x: x.amax(2), ROWS, 0.02),
    "amin": (lambda x: x.amin(1), ROWS, 0.02),
    "max": (lambda x: x.max(2)[0], ROWS, 0.02),
    "min": (lambda x: x.min(1)[0], ROWS, 0.02),
    "max_pool2d_with_indices": (lambda x: F.max_pool2d(x, 2), IMAGE, 0.03),
    "max_pool3d_with_indices": (lambda x: F.max_pool3d(x, (1, 1, 3), padding=(0, 0, 1)), VOLUME, 0.03),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, (3, 2)), IMAGE, 0.03),
    "adaptive_max_pool3d": (lambda x: F.adaptive_max_pool3d(x, (3, 3, 2)), VOLUME, 0.03),
    "native_layer_norm": (lambda x: F.layer_norm(x, (6,), B, A[:, 0]), VECTOR, 0.0),
    "native_group_norm": (lambda x: F.group_norm(x, 2, C[:, 0], C[:, 1]), IMAGE, 0.1),
    "native_batch_norm": (instance_normed, IMAGE, 0.1),
}
