"""Networks with attention by PyTorch's layers and functions, whole: encoders, pooling, decoders."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.architectures.case import case, mlp


class VisionTransformer(nn.Module):
    """torchvision's: patches, a class token, learned positions, nn.MultiheadAttention before a feed-forward."""

    class Block(nn.Module):
        def __init__(self, heads, dim, hidden):
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
            self.self_attention = nn.MultiheadAttention(dim, heads, dropout=0.1, batch_first=True)
            self.dropout, self.mlp = nn.Dropout(0.1), mlp(dim, hidden, dim, activation=nn.GELU)

        def forward(self, input):
            x = self.ln_1(input)
            x, _ = self.self_attention(x, x, x, need_weights=False)
            x = self.dropout(x)
            x = x + input
            y = self.ln_2(x)
            y = self.mlp(y)
            return x + y

    def __init__(self, dim=6):
        super().__init__()
        self.conv_proj = nn.Conv2d(1, dim, kernel_size=2, stride=2)
        self.class_token = nn.Parameter(torch.randn(1, 1, dim))
        self.pos_embedding = nn.Parameter(torch.randn(1, 3, dim))
        self.layers, self.ln = nn.Sequential(self.Block(2, dim, 8)), nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, 2)

    def forward(self, x):
        n = x.shape[0]
        x = self.conv_proj(x)
        x = x.reshape(n, x.shape[1], -1).permute(0, 2, 1)
        x = torch.cat([self.class_token.expand(n, -1, -1), x], dim=1)
        x = self.ln(self.layers(x + self.pos_embedding))
        return self.head(x[:, 0])


class EncoderClassifier(nn.Module):
    """nn.TransformerEncoder over embedded tokens, the mean over them, a head."""

    def __init__(self, dim=4, layers=1, **options):
        super().__init__()
        self.pos = nn.Parameter(torch.randn(3, dim))
        layer = nn.TransformerEncoderLayer(dim, 2, dim_feedforward=6, batch_first=True, **options)
        self.encoder = nn.TransformerEncoder(layer, num_layers=layers, enable_nested_tensor=False)
        self.head = nn.Linear(dim, 2)

    def forward(self, x):
        return self.head(self.encoder(x + self.pos).mean(dim=1))


class EncoderLayer(nn.Module):
    """One nn.TransformerEncoderLayer, time first, as its defaults have it."""

    def __init__(self, dim=4):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(d_model=dim, nhead=2, dim_feedforward=6)

    def forward(self, x):
        return self.layer(x.transpose(0, 1))[-1]


class CausalEncoder(nn.Module):
    """A mask of -inf above the diagonal, as nn.Transformer makes it."""

    def __init__(self, dim=4):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(dim, 1, 6, batch_first=True, norm_first=True)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.size(1), dtype=x.dtype)
        return self.layer(x, src_mask=mask, is_causal=True)[:, -1]


class CrossAttention(nn.Module):
    """Learned queries attend to a set."""

    def __init__(self, dim=4):
        super().__init__()
        self.latents, self.norm = nn.Parameter(torch.randn(1, 2, dim)), nn.LayerNorm(dim)
        self.attention, self.feed = nn.MultiheadAttention(dim, 2, batch_first=True), mlp(dim, 6, dim)
        self.head = nn.Linear(dim, 1)

    def forward(self, x):
        latents = self.latents.expand(x.size(0), -1, -1)
        attended, weights = self.attention(self.norm(latents), x, x)
        latents = latents + attended
        latents = latents + self.feed(latents)
        return self.head(latents).squeeze(-1), weights[:, 0]


class Decoder(nn.Module):
    """nn.TransformerDecoderLayer: the targets' own attention, then attention to a memory."""

    def __init__(self, dim=4):
        super().__init__()
        self.layer, self.out = nn.TransformerDecoderLayer(dim, 1, 6, batch_first=True), nn.Linear(dim, 2)

    def forward(self, target, memory):
        return self.out(self.layer(target, memory)[:, -1])


class AdditiveAttention(nn.Module):
    """Bahdanau's: weights by a tanh network and a softmax over time."""

    def __init__(self):
        super().__init__()
        self.W, self.v, self.head = nn.Linear(3, 5), nn.Linear(5, 1, bias=False), nn.Linear(3, 2)

    def forward(self, x):
        weights = F.softmax(self.v(torch.tanh(self.W(x))), dim=1)
        return self.head((weights * x).sum(dim=1))


class GatedInstances(nn.Module):
    """Attention of many instances: tanh times sigmoid, a softmax over instances, a weighted mean by mm."""

    def __init__(self):
        super().__init__()
        self.V, self.U, self.w = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 1)
        self.classifier = nn.Linear(3, 1)

    def forward(self, x):
        a = self.w(torch.tanh(self.V(x)) * torch.sigmoid(self.U(x)))
        a = torch.softmax(torch.transpose(a, 2, 1), dim=2)
        z = torch.bmm(a, x).squeeze(1)
        return torch.sigmoid(self.classifier(z))


class NonLocal(nn.Module):
    """Attention between the pixels of an image, beside it."""

    def __init__(self):
        super().__init__()
        self.theta, self.phi, self.g = (nn.Conv2d(2, 2, 1) for _ in "tpg")
        self.W = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))

    def forward(self, x):
        batch_size = x.size(0)
        g_x = self.g(x).view(batch_size, 2, -1).permute(0, 2, 1)
        theta_x = self.theta(x).view(batch_size, 2, -1).permute(0, 2, 1)
        f = torch.matmul(theta_x, self.phi(x).view(batch_size, 2, -1))
        y = torch.matmul(F.softmax(f, dim=-1), g_x).permute(0, 2, 1).contiguous()
        z = self.W(y.view(batch_size, 2, *x.size()[2:])) + x
        return z.mean((2, 3))


def cases():
    return {
        "vit": case(VisionTransformer, (1, 2, 4)),
        "encoder": case(EncoderClassifier, (3, 4), activation="gelu"),
        "encoder of two": case(EncoderClassifier, (3, 4), layers=2, norm_first=True, dropout=0.0),
        "encoder layer": case(EncoderLayer, (3, 4)),
        "causal encoder": case(CausalEncoder, (3, 4)),
        "cross attention": case(CrossAttention, (3, 4)),
        "decoder": case(Decoder, (2, 4), (2, 4)),
        "additive attention": case(AdditiveAttention, (4, 3)),
        "gated instances": case(GatedInstances, (4, 3)),
        "non-local": case(NonLocal, (2, 2, 2)),
    }
