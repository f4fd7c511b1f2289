"""Networks that normalise over features, groups of channels or pixels, by PyTorch's layers and by hand."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.architectures.case import case, mlp


class TabularResNet(nn.Module):
    """LayerNorm, linear, ReLU, dropout, linear beside the input."""

    def __init__(self, d=6):
        super().__init__()
        self.first_layer, self.last_normalization = nn.Linear(4, d), nn.LayerNorm(d)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {"norm": nn.LayerNorm(d), "linear0": nn.Linear(d, 8), "linear1": nn.Linear(8, d)},
            )
            for _ in range(2)
        )
        self.head = nn.Linear(d, 2)

    def forward(self, x):
        x = self.first_layer(x)
        for layer in self.layers:
            z = layer["norm"](x)
            z = F.relu(layer["linear0"](z))
            z = F.dropout(z, 0.1, self.training)
            z = layer["linear1"](z)
            x = x + z
        return self.head(F.relu(self.last_normalization(x)))


def droq():
    """A critic: linear, dropout, LayerNorm, ReLU."""
    layers = []
    for n, m in ((4, 8), (8, 8)):
        layers += [nn.Linear(n, m), nn.Dropout(p=0.01), nn.LayerNorm(m), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(8, 1))


class ConvNextBlock(nn.Module):
    """Depthwise convolution, channels last, LayerNorm, two linear layers with GELU, a scale of each channel."""

    def __init__(self, dim=6):
        super().__init__()
        self.dwconv, self.norm = (
            nn.Conv2d(dim, dim, kernel_size=3, padding=1, groups=dim),
            nn.LayerNorm(dim, eps=1e-6),
        )
        self.pwconv1, self.act, self.pwconv2 = nn.Linear(dim, 8), nn.GELU(), nn.Linear(8, dim)
        self.gamma = nn.Parameter(0.5 * torch.ones(dim))

    def forward(self, x):
        input = x
        x = self.dwconv(x)
        x = x.permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
        x = self.norm(x)
        x = self.pwconv1(x)
        x = self.act(x)
        x = self.pwconv2(x)
        if self.gamma is not None:
            x = self.gamma * x
        x = x.permute(0, 3, 1, 2)
        return input + x


class ChannelsFirstNorm(nn.Module):
    """LayerNorm over channels as ConvNeXt's code writes it out."""

    def __init__(self, n, eps=1e-6):
        super().__init__()
        self.weight, self.bias, self.eps = (
            nn.Parameter(0.5 + torch.rand(n)),
            nn.Parameter(0.3 * torch.randn(n)),
            eps,
        )

    def forward(self, x):
        u = x.mean(1, keepdim=True)
        s = (x - u).pow(2).mean(1, keepdim=True)
        x = (x - u) / torch.sqrt(s + self.eps)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class ConvNext(nn.Module):
    """A stem of patches, its norm, a block, the mean over pixels, a norm, a head."""

    def __init__(self, norm):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 6, kernel_size=2, stride=2), *((norm(6),) if norm else ()))
        self.block, self.norm, self.head = ConvNextBlock(), nn.LayerNorm(6, eps=1e-6), nn.Linear(6, 2)

    def forward(self, x):
        x = self.block(self.stem(x))
        return self.head(self.norm(x.mean([-2, -1])))


class MlpMixer(nn.Module):
    """Patches by a reshape, LayerNorm before both feed-forwards and before the mean over patches."""

    class Block(nn.Module):
        def __init__(self, patches, channels):
            super().__init__()
            self.token_norm, self.channel_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
            self.token_mix = mlp(patches, 6, patches, activation=nn.GELU)
            self.channel_mix = mlp(channels, 8, channels, activation=nn.GELU)

        def forward(self, x):
            x = x + self.token_mix(self.token_norm(x).transpose(1, 2)).transpose(1, 2)
            return x + self.channel_mix(self.channel_norm(x))

    def __init__(self):
        super().__init__()
        self.embed, self.block = nn.Linear(4, 6), self.Block(4, 6)
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 2)

    def forward(self, image):
        batch, channels, height, width = image.shape
        x = image.reshape(batch, channels, height // 2, 2, width // 2, 2)
        x = x.permute(0, 2, 4, 3, 5, 1).reshape(batch, height * width // 4, -1)
        x = self.norm(self.block(self.embed(x)))
        return self.head(x.mean(dim=1))


class DiffusionResBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice, beside a shortcut."""

    def __init__(self):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(2, 4, eps=1e-6), nn.Conv2d(4, 4, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(2, 4, eps=1e-6), nn.Conv2d(4, 4, 3, padding=1)
        self.conv_in, self.conv_out = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 1)

    def forward(self, x):
        x = self.conv_in(x)
        h = self.conv1(self.nonlinearity(self.norm1(x)))
        h = self.conv2(self.nonlinearity(self.norm2(h)))
        return self.conv_out(x + h).mean((2, 3))

    def nonlinearity(self, x):
        return x * torch.sigmoid(x)


def group_norm_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 2),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.Conv2d(4, 3, 2),
        nn.GroupNorm(1, 3, affine=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, 2),
    )


class StyleTransfer(nn.Module):
    """Reflections, InstanceNorm with its own affine map, a residual block, pixels by nearest interpolation."""

    def __init__(self):
        super().__init__()
        self.conv1, self.in1 = (
            nn.Conv2d(1, 3, 3, stride=2, padding=1, padding_mode="reflect"),
            nn.InstanceNorm2d(3, affine=True),
        )
        self.conv2, self.in2 = nn.Conv2d(3, 3, 3, padding=1), nn.InstanceNorm2d(3, affine=True)
        self.out = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, x):
        y = F.relu(self.in1(self.conv1(x)))
        y = self.in2(self.conv2(y)) + y
        return self.out(F.interpolate(y, scale_factor=2, mode="nearest"))[:, :, 1, 1:3]


def instance_norm_series():
    return nn.Sequential(
        nn.Conv1d(2, 3, 3), nn.InstanceNorm1d(3), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(12, 2)
    )


class RmsNorm(nn.Module):
    """Llama's, written out."""

    def __init__(self, dim, eps=1e-5):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(0.5 + torch.rand(dim))

    def _norm(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    def forward(self, x):
        output = self._norm(x.float() if x.dtype == torch.float16 else x).type_as(x)
        return output * self.weight


class RmsMlp(nn.Module):
    """Residual blocks behind RMSNorm."""

    def __init__(self, norm):
        super().__init__()
        self.embed, self.head = nn.Linear(4, 6), nn.Linear(6, 2)
        self.norms = nn.ModuleList(norm(6) for _ in range(3))
        self.feeds = nn.ModuleList(mlp(6, 8, 6, activation=nn.SiLU) for _ in range(2))

    def forward(self, x):
        h = self.embed(x)
        for norm, feed in zip(self.norms[:-1], self.feeds, strict=True):
            h = h + feed(norm(h))
        return self.head(self.norms[-1](h))


class FunctionalLayerNorm(nn.Module):
    """F.layer_norm over two dimensions, one without weights."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(8, 2)

    def forward(self, x):
        h = F.layer_norm(self.one(x), (2, 4))
        h = F.layer_norm(h + torch.tanh(self.two(h)), h.shape[-1:])
        return self.head(h.flatten(1))


def cases():
    return {
        "tabular resnet layer norm": case(TabularResNet, (4,)),
        "droq": case(droq, (4,)),
        "convnext": case(ConvNext, (1, 4, 4), norm=None),
        "convnext by hand": case(ConvNext, (1, 4, 4), norm=ChannelsFirstNorm),
        "mlp mixer": case(MlpMixer, (1, 4, 4)),
        "diffusion block": case(DiffusionResBlock, (1, 3, 3)),
        "group norm cnn": case(group_norm_cnn, (1, 4, 4)),
        "style transfer": case(StyleTransfer, (1, 4, 4)),
        "instance norm series": case(instance_norm_series, (2, 6)),
        "rms norm": case(RmsMlp, (4,), norm=nn.RMSNorm),
        "rms norm by hand": case(RmsMlp, (4,), norm=RmsNorm),
        "functional layer norm": case(FunctionalLayerNorm, (2, 3)),
    }
