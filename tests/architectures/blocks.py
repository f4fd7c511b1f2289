"""One block of each family of mobile and dense networks, with a head behind it."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.architectures.case import case


def conv_norm(n, m, size, activation=None, **options):
    layers = [nn.Conv2d(n, m, size, padding=(size - 1) // 2, bias=False, **options), nn.BatchNorm2d(m)]
    return nn.Sequential(*layers, *(() if activation is None else (activation(inplace=True),)))


class Pooled(nn.Module):
    """A block, the mean over its pixels, and a linear head."""

    def __init__(self, block, channels):
        super().__init__()
        self.block = block()
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(channels, 3))

    def forward(self, x):
        return self.classifier(self.block(x).mean([2, 3]))


class InvertedResidual(nn.Module):
    """MobileNet-V2's: expand, depthwise, project, beside the input."""

    def __init__(self):
        super().__init__()
        self.use_res_connect = True
        self.conv = nn.Sequential(
            conv_norm(2, 4, 1, nn.ReLU6),
            conv_norm(4, 4, 3, nn.ReLU6, groups=4),
            nn.Conv2d(4, 2, 1, bias=False),
            nn.BatchNorm2d(2),
        )

    def forward(self, x):
        if self.use_res_connect:
            return x + self.conv(x)
        return self.conv(x)


class MnasBlock(nn.Module):
    """An inverted residual with ReLU and a depthwise convolution of 5 x 5."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            conv_norm(2, 4, 1, nn.ReLU), conv_norm(4, 4, 5, nn.ReLU, groups=4), conv_norm(4, 2, 1)
        )

    def forward(self, input):
        return self.layers(input) + input


class RegNetBlock(nn.Module):
    """Grouped convolutions with stride, a projection beside them, ReLU behind the sum."""

    def __init__(self):
        super().__init__()
        self.proj = conv_norm(2, 4, 1, stride=2)
        self.f = nn.Sequential(
            conv_norm(2, 4, 1, nn.ReLU), conv_norm(4, 4, 3, nn.ReLU, stride=2, groups=2), conv_norm(4, 4, 1)
        )
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.proj(x) + self.f(x)
        return self.activation(x)


class LiteBlock(nn.Module):
    """EfficientNet-lite's: ReLU6, no squeeze, stochastic depth of the whole branch."""

    def __init__(self, rate=0.2):
        super().__init__()
        self.rate = rate
        self.expand, self.depthwise, self.project = (
            nn.Conv2d(2, 4, 1),
            nn.Conv2d(4, 4, 3, 1, 1, groups=4),
            nn.Conv2d(4, 2, 1),
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (4, 4, 2))

    def forward(self, x):
        identity = x
        x = F.relu6(self.norms[0](self.expand(x)))
        x = F.relu6(self.norms[1](self.depthwise(x)))
        x = self.norms[2](self.project(x))
        if self.rate and self.training:
            x = x / (1 - self.rate) * torch.bernoulli(torch.full((x.size(0), 1, 1, 1), 1 - self.rate))
        x += identity
        return x


def channel_shuffle(x, groups):
    batch, channels, height, width = x.size()
    x = x.view(batch, groups, channels // groups, height, width)
    x = torch.transpose(x, 1, 2).contiguous()
    return x.view(batch, channels, height, width)


class ShuffleBlock(nn.Module):
    """ShuffleNet-V2's: half of the channels go through, both halves are shuffled."""

    def __init__(self):
        super().__init__()
        self.stem = conv_norm(2, 4, 3, nn.ReLU)
        self.branch2 = nn.Sequential(
            conv_norm(2, 2, 1, nn.ReLU), conv_norm(2, 2, 3, groups=2), conv_norm(2, 2, 1, nn.ReLU)
        )

    def forward(self, x):
        x = F.avg_pool2d(self.stem(x), kernel_size=3, stride=2, padding=1)
        x1, x2 = x.chunk(2, dim=1)
        return channel_shuffle(torch.cat((x1, self.branch2(x2)), dim=1), 2)


class DenseBlock(nn.Module):
    """DenseNet's: every layer reads all before it; the transition pools by averages."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(n), nn.ReLU(inplace=True), nn.Conv2d(n, 2, 3, padding=1)) for n in (2, 4)
        )
        self.transition = nn.Sequential(
            nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 3, 1), nn.AvgPool2d(2, 2)
        )

    def forward(self, init_features):
        features = [init_features]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return self.transition(torch.cat(features, 1))


class GhostBlock(nn.Module):
    """A few convolved channels and cheap maps of them, as many as are asked for."""

    def __init__(self):
        super().__init__()
        self.oup = 5
        self.primary, self.cheap = conv_norm(2, 3, 1, nn.ReLU), conv_norm(3, 3, 3, nn.ReLU, groups=3)

    def forward(self, x):
        x1 = self.primary(x)
        x2 = self.cheap(x1)
        return torch.cat([x1, x2], dim=1)[:, : self.oup, :, :]


class Inception(nn.Module):
    """Branches side by side, one of them behind an average that does not count its padding."""

    def __init__(self):
        super().__init__()
        self.branch1, self.branch3, self.branch_pool = conv_norm(2, 2, 1), conv_norm(2, 2, 3), conv_norm(2, 1, 1)

    def forward(self, x):
        pool = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False)
        outputs = [F.relu(self.branch1(x)), F.relu(self.branch3(x)), F.relu(self.branch_pool(pool))]
        return torch.cat(outputs, 1)


class BlurPool(nn.Module):
    """A fixed filter of every channel before pixels are skipped."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        row = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("filter", (row[:, None] * row / 16).repeat(3, 1, 1, 1))

    def forward(self, x):
        x = F.pad(F.relu(self.conv(x)), (1, 1, 1, 1), mode="reflect")
        return F.conv2d(x, self.filter, stride=2, groups=x.shape[1])


# and the number of channels that come out
BLOCKS = {
    "mobilenet v2": (InvertedResidual, 2),
    "mnasnet": (MnasBlock, 2),
    "regnet": (RegNetBlock, 4),
    "efficientnet lite": (LiteBlock, 2),
    "shufflenet": (ShuffleBlock, 4),
    "densenet": (DenseBlock, 3),
    "ghostnet": (GhostBlock, 5),
    "inception": (Inception, 5),
    "blur pool": (BlurPool, 3),
}


def cases():
    return {
        name: case(Pooled, (2, 4, 4), block=block, channels=channels) for name, (block, channels) in BLOCKS.items()
    }
