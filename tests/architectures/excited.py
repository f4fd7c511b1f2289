"""Blocks of images that weigh channels or pixels: squeeze and excitation, MobileNet-V3, EfficientNet, CBAM."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.architectures.blocks import Pooled, conv_norm
from tests.architectures.case import case


class SeLayer(nn.Module):
    """Squeeze and excitation: the means of channels, two linear layers, a sigmoid, expanded over pixels."""

    def __init__(self, channel, reduced):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channel, reduced, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(reduced, channel, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x):
        b, c, _, _ = x.size()
        y = self.avg_pool(x).view(b, c)
        y = self.fc(y).view(b, c, 1, 1)
        return x * y.expand_as(x)


class SeBlock(nn.Module):
    """SE-ResNet's basic block."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = conv_norm(2, 3, 3, nn.ReLU), conv_norm(3, 2, 3)
        self.se, self.relu = SeLayer(2, 2), nn.ReLU(inplace=True)

    def forward(self, x):
        residual = x
        out = self.se(self.conv2(self.conv1(x)))
        out += residual
        return self.relu(out)


class SqueezeExcitation(nn.Module):
    """torchvision's: convolutions of 1 x 1, the activations given."""

    def __init__(self, channels, squeezed, activation, scale_activation):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        self.activation, self.scale_activation = activation(), scale_activation()

    def _scale(self, input):
        scale = self.avgpool(input)
        scale = self.fc1(scale)
        scale = self.activation(scale)
        scale = self.fc2(scale)
        return self.scale_activation(scale)

    def forward(self, input):
        scale = self._scale(input)
        return scale * input


class MobileNetV3Block(nn.Module):
    """Expand, depthwise, squeeze and excitation with a hard sigmoid, project; hard swish."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(
            conv_norm(2, 4, 1, nn.Hardswish),
            conv_norm(4, 4, 3, nn.Hardswish, groups=4),
            SqueezeExcitation(4, 2, nn.ReLU, nn.Hardsigmoid),
            conv_norm(4, 2, 1),
        )

    def forward(self, input):
        result = self.block(input)
        result += input
        return result


class MbConv(nn.Module):
    """EfficientNet's: SiLU, squeeze and excitation with a sigmoid, stochastic depth that is off."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(
            conv_norm(2, 4, 1, nn.SiLU),
            conv_norm(4, 4, 3, nn.SiLU, groups=4),
            SqueezeExcitation(4, 1, nn.SiLU, nn.Sigmoid),
            conv_norm(4, 2, 1),
        )

    def forward(self, x):
        result = self.block(x)
        if self.training:
            result = result * torch.bernoulli(torch.full((len(x), 1, 1, 1), 0.8)) / 0.8
        return result + x


class RegNetY(nn.Module):
    """A grouped bottleneck with squeeze and excitation before its last convolution."""

    def __init__(self):
        super().__init__()
        self.proj = conv_norm(2, 4, 1, stride=2)
        self.a, self.b = conv_norm(2, 4, 1, nn.ReLU), conv_norm(4, 4, 3, nn.ReLU, stride=2, groups=2)
        self.se, self.c = SqueezeExcitation(4, 2, nn.ReLU, nn.Sigmoid), conv_norm(4, 4, 1)

    def forward(self, x):
        return F.relu(self.proj(x) + self.c(self.se(self.b(self.a(x)))))


class Cbam(nn.Module):
    """Channels weighed by their mean and maximum, then pixels by theirs."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 2)
        self.mlp = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 3))
        self.spatial = nn.Conv2d(2, 1, kernel_size=3, padding=1, bias=False)

    def forward(self, x):
        x = self.conv(x)
        avg = self.mlp(F.avg_pool2d(x, x.shape[2:]).flatten(1))
        top = self.mlp(F.max_pool2d(x, x.shape[2:]).flatten(1))
        x = x * torch.sigmoid(avg + top).unsqueeze(2).unsqueeze(3)
        both = torch.cat((torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)), dim=1)
        return x * torch.sigmoid(self.spatial(both))


class EfficientChannels(nn.Module):
    """ECA-Net's: a convolution along the channels' means."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(2, 4, 2), nn.Conv1d(1, 1, kernel_size=3, padding=1, bias=False)

    def forward(self, x):
        x = self.stem(x)
        y = x.mean((2, 3), keepdim=True)
        y = self.conv(y.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        return F.relu(x * y.sigmoid())


class AttentionGate(nn.Module):
    """Attention U-Net's: a map of the pixels that count, of the skip and of what comes from below."""

    def __init__(self):
        super().__init__()
        self.skip, self.below = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 2, stride=2)
        self.W_g, self.W_x, self.psi = conv_norm(3, 2, 1), conv_norm(3, 2, 1), conv_norm(2, 1, 1)
        self.up, self.relu = nn.Upsample(scale_factor=2), nn.ReLU(inplace=True)

    def forward(self, image):
        x, g = self.relu(self.skip(image)), self.up(torch.tanh(self.below(image)))
        psi = torch.sigmoid(self.psi(self.relu(self.W_g(g) + self.W_x(x))))
        return x * psi


# and the number of channels that come out
BLOCKS = {
    "se resnet": (SeBlock, 2),
    "mobilenet v3": (MobileNetV3Block, 2),
    "efficientnet": (MbConv, 2),
    "regnet y": (RegNetY, 4),
    "cbam": (Cbam, 3),
    "eca": (EfficientChannels, 4),
    "attention gate": (AttentionGate, 3),
}


def cases():
    sides = dict.fromkeys(BLOCKS, 3) | {"regnet y": 4, "attention gate": 4}
    return {
        name: case(Pooled, (2, sides[name], sides[name]), block=block, channels=channels)
        for name, (block, channels) in BLOCKS.items()
    }
