"""Networks of images, whole: classifiers, encoders and decoders, with average pooling."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.architectures.case import case


class CifarResNet(nn.Module):
    """ReLUs in place, `out += ...`, and shortcuts that skip pixels and pad channels."""

    class Shortcut(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, x):
            return self.function(x)

    class Block(nn.Module):
        def __init__(self, n, m, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(n, m, 3, stride, padding=1, bias=False), nn.BatchNorm2d(m)
            self.conv2, self.bn2 = nn.Conv2d(m, m, 3, padding=1, bias=False), nn.BatchNorm2d(m)
            self.relu, more = nn.ReLU(inplace=True), (m - n) // 2
            self.shortcut = nn.Sequential()
            if stride != 1 or n != m:
                self.shortcut = CifarResNet.Shortcut(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more, more)))

        def forward(self, x):
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            out += self.shortcut(x)
            out = self.relu(out)
            return out

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2)
        self.layers, self.linear = nn.Sequential(self.Block(2, 2, 1), self.Block(2, 4, 2)), nn.Linear(4, 3)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layers(out)
        out = F.avg_pool2d(out, out.size()[3])
        return self.linear(out.view(out.size(0), -1))


class ResNet(nn.Module):
    """A basic block with a convolution as its shortcut, adaptive pooling, torch.flatten."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 3, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.downsample = nn.Sequential(nn.Conv2d(1, 3, 1, stride=2, bias=False), nn.BatchNorm2d(3))
        self.relu, self.avgpool, self.fc = nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(3, 2)

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.fc(torch.flatten(self.avgpool(self.relu(out)), 1))


class LeNet(nn.Module):
    """Average pooling, tanh, and the number of features multiplied up in a loop."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 2)
        self.fc1, self.fc2 = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = F.avg_pool2d(torch.tanh(self.conv1(x)), (2, 2))
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), 2)
        x = x.view(-1, self.num_flat_features(x))
        return self.fc2(torch.tanh(self.fc1(x)))

    def num_flat_features(self, x):
        count = 1
        for size in x.size()[1:]:
            count *= size
        return count


def vgg():
    layers, channels = [], 1
    for width in (3, "A", 4, 4, "A"):
        if width == "A":
            layers.append(nn.AvgPool2d(2, stride=2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 6), nn.ReLU(True), nn.Dropout(), nn.Linear(6, 3))


class Dqn(nn.Module):
    """Frames of 0 to 255, strided convolutions without padding."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 4, stride=2), nn.Conv2d(4, 4, 2)
        self.fc, self.out = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = x / 255.0
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.relu(self.fc(x.view(x.size(0), -1)))
        return self.out(x)


def prelu_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, padding_mode="reflect"),
        nn.PReLU(3),
        nn.Conv2d(3, 2, 3),
        nn.PReLU(2),
        nn.Flatten(),
    )


def volumes():
    return nn.Sequential(
        nn.Conv3d(1, 3, 2, padding=1),
        nn.BatchNorm3d(3),
        nn.ELU(),
        nn.AvgPool3d(2),
        nn.Conv3d(3, 2, 2),
        nn.Flatten(),
    )


class UNet(nn.Module):
    """Two convolutions a level; `up` brings the lower level to the size of the upper, beside which it is put."""

    def __init__(self, up):
        super().__init__()
        self.inc, self.down, self.pool = self.twice(1, 3), self.twice(3, 4), nn.AvgPool2d(2)
        self.up = up()
        self.conv, self.outc = self.twice(7, 3), nn.Conv2d(3, 1, 1)

    def twice(self, n, m):
        return nn.Sequential(
            nn.Conv2d(n, m, 3, padding=1, bias=False), nn.BatchNorm2d(m), nn.ReLU(inplace=True),
            nn.Conv2d(m, m, 3, padding=1, bias=False), nn.BatchNorm2d(m), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.up(self.down(self.pool(x1)))
        dy, dx = x1.size(2) - x2.size(2), x1.size(3) - x2.size(3)
        x2 = F.pad(x2, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.outc(self.conv(torch.cat([x1, x2], dim=1)))


class SuperResolution(nn.Module):
    """Channels become pixels."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.pixel_shuffle = nn.PixelShuffle(2)

    def forward(self, x):
        return self.pixel_shuffle(self.conv2(torch.tanh(self.conv1(x)))) + F.interpolate(x, scale_factor=2)


class ConvAutoencoder(nn.Module):
    """Strided convolutions down, transposed ones up, and both the code and the picture returned."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.GELU(), nn.Conv2d(3, 2, 2))
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(2, 3, 2),
            nn.GELU(),
            nn.ConvTranspose2d(3, 1, 3, stride=2, padding=1, output_padding=1),
        )

    def forward(self, x):
        code = self.encoder(x)
        return code, torch.sigmoid(self.decoder(code))


class FeaturePyramid(nn.Module):
    """Levels by name: lateral convolutions, and the coarser level brought up to each."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.inner, self.layer = (
            nn.ModuleList([nn.Conv2d(3, 2, 1), nn.Conv2d(4, 2, 1)]),
            nn.Conv2d(2, 2, 3, padding=1),
        )

    def forward(self, x):
        one = F.leaky_relu(self.one(x), 0.1)
        two = F.leaky_relu(self.two(one), 0.1)
        last = self.inner[1](two)
        top = self.inner[0](one) + F.interpolate(last, size=one.shape[-2:], mode="nearest")
        return {"0": self.layer(top), "1": self.layer(last)}


class PatchFold(nn.Module):
    """Patches by unfold, a network of each, and fold, which adds where they overlap."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 6), nn.Softplus(), nn.Linear(6, 4))

    def forward(self, x):
        patches = F.unfold(x, 2, stride=1)
        return F.fold(self.net(patches.transpose(1, 2)).transpose(1, 2), x.shape[-2:], 2, stride=1)


def cases():
    return {
        "cifar resnet": case(CifarResNet, (1, 4, 4)),
        "resnet": case(ResNet, (1, 4, 4)),
        "lenet": case(LeNet, (1, 6, 6)),
        "vgg": case(vgg, (1, 4, 4)),
        "dqn": case(Dqn, (2, 6, 6)),
        "prelu cnn": case(prelu_cnn, (1, 4, 4)),
        "volumes": case(volumes, (1, 3, 3, 3)),
        "unet nearest": case(UNet, (1, 5, 4), up=lambda: nn.Upsample(scale_factor=2)),
        "unet bilinear": case(
            UNet, (1, 5, 4), up=lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        ),
        "unet transposed": case(UNet, (1, 5, 4), up=lambda: nn.ConvTranspose2d(4, 4, 2, stride=2)),
        "super resolution": case(SuperResolution, (1, 3, 3)),
        "conv autoencoder": case(ConvAutoencoder, (1, 4, 4)),
        "feature pyramid": case(FeaturePyramid, (1, 4, 4)),
        "patch fold": case(PatchFold, (1, 3, 4)),
    }
