"""Networks of images with maximum pooling: classifiers and encoders, stems of the larger ones."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.architectures.blocks import conv_norm
from tests.architectures.case import case


class LeNet(nn.Module):
    """The one of PyTorch's tutorial, its number of features multiplied up in a loop."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 2)
        self.fc1, self.fc2, self.fc3 = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, self.num_flat_features(x))
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)

    def num_flat_features(self, x):
        count = 1
        for size in x.size()[1:]:
            count *= size
        return count


class Mnist(nn.Module):
    """PyTorch's MNIST example: logarithms of probabilities."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 3, 3, 1), nn.Conv2d(3, 4, 3, 1)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = self.conv1(x)
        x = F.relu(x)
        x = self.conv2(x)
        x = F.relu(x)
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = self.fc1(x)
        x = F.relu(x)
        x = self.dropout2(x)
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)


class AlexNet(nn.Module):
    """Overlapping maximum pooling, dropout before the linear layers."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 3, kernel_size=3, stride=1, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(3, 4, kernel_size=2, padding=1),
            nn.ReLU(inplace=True),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(6, 3)
        )

    def forward(self, x):
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


def vgg(cfg=(3, "M", 4, "M")):
    layers, channels = [], 1
    for v in cfg:
        if v == "M":
            layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
        else:
            layers += [nn.Conv2d(channels, v, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
            channels = v
    head = nn.Flatten(), nn.Linear(4, 6), nn.ReLU(True), nn.Dropout(), nn.Linear(6, 3)
    return nn.Sequential(*layers, *head)


class ResNetStem(nn.Module):
    """ResNet-18's beginning: a convolution, MaxPool2d(3, 2, 1), and a basic block."""

    class BasicBlock(nn.Module):
        def __init__(self, planes):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes)
            self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            identity = x
            out = self.conv1(x)
            out = self.bn1(out)
            out = self.relu(out)
            out = self.conv2(out)
            out = self.bn2(out)
            out += identity
            return self.relu(out)

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 3, 3, stride=1, padding=1, bias=False), nn.BatchNorm2d(3)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = nn.Sequential(self.BasicBlock(3))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(3, 2)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer1(x)
        x = torch.flatten(self.avgpool(x), 1)
        return self.fc(x)


class SqueezeNet(nn.Module):
    """Fire modules, MaxPool with ceil_mode, a convolution for a classifier."""

    class Fire(nn.Module):
        def __init__(self, inplanes, squeeze, expand):
            super().__init__()
            self.squeeze, self.activation = nn.Conv2d(inplanes, squeeze, 1), nn.ReLU(inplace=True)
            self.expand1x1, self.expand3x3 = (
                nn.Conv2d(squeeze, expand, 1),
                nn.Conv2d(squeeze, expand, 3, padding=1),
            )
            for layer in (self.squeeze, self.expand1x1, self.expand3x3):
                nn.init.uniform_(layer.bias, 0.3, 0.6)  # so that no channel is dead

        def forward(self, x):
            x = self.activation(self.squeeze(x))
            return torch.cat([self.activation(self.expand1x1(x)), self.activation(self.expand3x3(x))], 1)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 3, kernel_size=2, stride=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True),
            self.Fire(3, 2, 2),
        )
        final_conv = nn.Conv2d(4, 3, kernel_size=1)
        nn.init.uniform_(final_conv.bias, 0.3, 0.6)  # so that no class is dead
        self.classifier = nn.Sequential(
            nn.Dropout(p=0.5), final_conv, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))
        )

    def forward(self, x):
        x = self.features(x)
        x = self.classifier(x)
        return torch.flatten(x, 1)


class DenseNet(nn.Module):
    """MaxPool behind the stem, two layers that read all before them."""

    def __init__(self, growth_rate=2):
        super().__init__()
        self.conv0 = conv_norm(1, 2, 3, nn.ReLU)
        self.pool0 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(n), nn.ReLU(inplace=True), nn.Conv2d(n, growth_rate, 3, padding=1))
            for n in (2, 2 + growth_rate)
        )
        self.norm5, self.classifier = nn.BatchNorm2d(2 + 2 * growth_rate), nn.Linear(2 + 2 * growth_rate, 3)

    def forward(self, x):
        features = [self.pool0(self.conv0(x))]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        out = F.relu(self.norm5(torch.cat(features, 1)), inplace=True)
        out = F.adaptive_avg_pool2d(out, (1, 1))
        return self.classifier(torch.flatten(out, 1))


class ShuffleNet(nn.Module):
    """MaxPool behind the stem, a unit that halves the image: both branches have strides."""

    def __init__(self):
        super().__init__()
        self.conv1, self.maxpool = conv_norm(1, 2, 3, nn.ReLU), nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.branch1 = nn.Sequential(conv_norm(2, 2, 3, stride=2, groups=2), conv_norm(2, 2, 1, nn.ReLU))
        self.branch2 = nn.Sequential(
            conv_norm(2, 2, 1, nn.ReLU),
            conv_norm(2, 2, 3, stride=2, groups=2),
            conv_norm(2, 2, 1, nn.ReLU),
        )
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = self.maxpool(self.conv1(x))
        out = torch.cat((self.branch1(x), self.branch2(x)), dim=1)
        batchsize, num_channels, height, width = out.size()
        out = out.view(batchsize, 2, num_channels // 2, height, width).transpose(1, 2).contiguous()
        out = out.view(batchsize, num_channels, height, width)
        return self.fc(out.mean([2, 3]))


class UNet(nn.Module):
    """Down: MaxPool and two convolutions. Up: bilinear, padded to the skip, beside it."""

    def __init__(self):
        super().__init__()
        self.inc, self.down = self.twice(1, 2), nn.Sequential(nn.MaxPool2d(2), self.twice(2, 3))
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.conv, self.outc = self.twice(5, 2), nn.Conv2d(2, 1, kernel_size=1)

    def twice(self, n, m):
        return nn.Sequential(conv_norm(n, m, 3, nn.ReLU), conv_norm(m, m, 3, nn.ReLU))

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.up(self.down(x1))
        dy, dx = x1.size()[2] - x2.size()[2], x1.size()[3] - x2.size()[3]
        x2 = F.pad(x2, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.outc(self.conv(torch.cat([x1, x2], dim=1)))


class InceptionPool(nn.Module):
    """GoogLeNet's branches, one of them behind a maximum of stride 1."""

    def __init__(self):
        super().__init__()
        self.branch1, self.branch2 = (
            conv_norm(2, 2, 1, nn.ReLU),
            nn.Sequential(conv_norm(2, 1, 1, nn.ReLU), conv_norm(1, 2, 3, nn.ReLU)),
        )
        pool = nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True)
        self.branch4 = nn.Sequential(pool, conv_norm(2, 1, 1, nn.ReLU))
        self.fc = nn.Linear(5, 2)

    def forward(self, x):
        outputs = torch.cat([self.branch1(x), self.branch2(x), self.branch4(x)], 1)
        return self.fc(F.adaptive_avg_pool2d(outputs, 1).flatten(1))


def c3d():
    """Videos: convolutions and maxima of three dimensions."""
    return nn.Sequential(
        nn.Conv3d(1, 2, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool3d(kernel_size=(1, 2, 2), stride=(1, 2, 2)),
        nn.Conv3d(2, 3, kernel_size=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3, 2),
    )


class ConcatPool(nn.Module):
    """The mean and the maximum over all pixels, side by side."""

    def __init__(self):
        super().__init__()
        self.conv, self.ap, self.mp = nn.Conv2d(1, 3, 2), nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        x = F.silu(self.conv(x))
        return self.head(torch.cat([self.mp(x), self.ap(x)], 1).flatten(1))


def cases():
    return {
        "lenet max": case(LeNet, (1, 6, 6)),
        "mnist": case(Mnist, (1, 6, 6)),
        "alexnet": case(AlexNet, (1, 5, 5)),
        "vgg max": case(vgg, (1, 4, 4)),
        "resnet stem": case(ResNetStem, (1, 4, 4)),
        "squeezenet": case(SqueezeNet, (1, 4, 4)),
        "densenet max": case(DenseNet, (1, 4, 4)),
        "shufflenet max": case(ShuffleNet, (1, 6, 6)),
        "unet max": case(UNet, (1, 5, 4)),
        "inception max": case(InceptionPool, (2, 3, 3)),
        "c3d": case(c3d, (1, 2, 4, 4)),
        "concat pool": case(ConcatPool, (1, 3, 3)),
    }
