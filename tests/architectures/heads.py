"""Networks whose outputs are probabilities or parameters of a density, and those of tables with attention."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.architectures.case import case, mlp


class Probabilities(nn.Module):
    """Softmax with a temperature."""

    def __init__(self):
        super().__init__()
        self.net, self.temperature = mlp(4, 8, 3), nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return torch.softmax(self.net(x) / self.temperature, dim=-1)


class ActorCritic(nn.Module):
    """PyTorch's reinforcement learning example: probabilities of actions and a value."""

    def __init__(self):
        super().__init__()
        self.affine1, self.action_head, self.value_head = nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(8, 1)

    def forward(self, x):
        x = F.relu(self.affine1(x))
        action_prob = F.softmax(self.action_head(x), dim=-1)
        return action_prob, self.value_head(x)


class MixtureDensity(nn.Module):
    """Weights, means and spreads of the components of a mixture."""

    def __init__(self):
        super().__init__()
        self.z_h = nn.Sequential(nn.Linear(2, 8), nn.Tanh())
        self.z_pi, self.z_mu, self.z_sigma = (nn.Linear(8, 2) for _ in "pms")

    def forward(self, x):
        z_h = self.z_h(x)
        return F.softmax(self.z_pi(z_h), -1), self.z_mu(z_h), torch.exp(self.z_sigma(z_h))


class Vae(nn.Module):
    """PyTorch's VAE in eval: the code is its mean; the picture's probabilities, the mean and the log variance."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(5, 8), nn.Linear(8, 2), nn.Linear(8, 2)
        self.fc3, self.fc4 = nn.Linear(2, 8), nn.Linear(8, 5)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        if not self.training:
            return mu
        std = torch.exp(0.5 * logvar)
        return mu + torch.randn_like(std) * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 5))
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


class SoftValue(nn.Module):
    """The free energy of logits: log-sum-exp."""

    def __init__(self, alpha=0.7):
        super().__init__()
        self.alpha, self.net = alpha, mlp(4, 8, 4)

    def forward(self, x):
        return self.alpha * torch.logsumexp(self.net(x) / self.alpha, dim=1, keepdim=True)


class GaussianHead(nn.Module):
    """A mean and a spread by softplus, squashed by tanh: a stochastic policy's."""

    def __init__(self):
        super().__init__()
        self.net, self.mean, self.log_std = mlp(4, 8, 8), nn.Linear(8, 1), nn.Linear(8, 1)

    def forward(self, state):
        h = F.relu(self.net(state))
        log_std = torch.clamp(self.log_std(h), min=-20, max=2)
        return torch.tanh(self.mean(h)), log_std.exp()


class SplineKan(nn.Module):
    """B-splines of degree 1 on a grid, by the recursion, and SiLU as the base."""

    def __init__(self):
        super().__init__()
        self.register_buffer("grid", torch.linspace(-3.0, 3.0, 7))
        self.base, self.spline = nn.Linear(3, 2), nn.Parameter(torch.randn(2, 3, 5))

    def b_splines(self, x):
        x = x.unsqueeze(-1)
        rising = (x - self.grid[:-2]) / (self.grid[1:-1] - self.grid[:-2])
        falling = (self.grid[2:] - x) / (self.grid[2:] - self.grid[1:-1])
        return F.relu(torch.minimum(rising, falling))

    def forward(self, x):
        bases = self.b_splines(x)
        return self.base(F.silu(x)) + F.linear(bases.view(x.size(0), -1), self.spline.view(2, -1))


class FtTransformer(nn.Module):
    """A token of each feature, a class token, attention, a ReGLU feed-forward."""

    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.attention_norm, self.ffn_norm = nn.LayerNorm(d), nn.LayerNorm(d)
            self.W_q, self.W_k, self.W_v, self.W_out = (nn.Linear(d, d) for _ in range(4))
            self.linear_first, self.linear_second = nn.Linear(d, 12), nn.Linear(6, d)

        def attention(self, x, heads=2):
            batch, tokens, d = x.shape
            q, k, v = (
                f(x).reshape(batch, tokens, heads, d // heads).transpose(1, 2).reshape(batch * heads, tokens, -1)
                for f in (self.W_q, self.W_k, self.W_v)
            )
            weights = F.softmax(q @ k.transpose(1, 2) / (d // heads) ** 0.5, dim=-1)
            x = (weights @ v).reshape(batch, heads, tokens, -1).transpose(1, 2).reshape(batch, tokens, d)
            return self.W_out(x)

        def forward(self, x):
            x = x + self.attention(self.attention_norm(x))
            a, b = self.linear_first(self.ffn_norm(x)).chunk(2, dim=-1)
            return x + self.linear_second(a * F.relu(b))

    def __init__(self, features=3, d=4):
        super().__init__()
        self.weight, self.bias, self.cls = (nn.Parameter(torch.randn(n, d)) for n in (features, features, 1))
        self.block, self.head = self.Block(d), nn.Sequential(nn.LayerNorm(d), nn.ReLU(), nn.Linear(d, 2))

    def forward(self, x_num):
        x = self.weight[None] * x_num[..., None] + self.bias[None]
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1)
        return self.head(self.block(x)[:, 0])


class TabNet(nn.Module):
    """Steps that choose features by a mask, of a softmax, with a prior; gated feature transformers."""

    class Transformer(nn.Module):
        def __init__(self, n, m):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(n, 2 * m, bias=False), nn.Linear(m, 2 * m, bias=False)
            self.bn1, self.bn2 = nn.BatchNorm1d(2 * m), nn.BatchNorm1d(2 * m)

        def forward(self, x):
            x = F.glu(self.bn1(self.fc1(x)), dim=1)
            return (x + F.glu(self.bn2(self.fc2(x)), dim=1)) * 0.5**0.5

    def __init__(self, features=4, n_d=2, n_a=2, steps=2, gamma=1.3):
        super().__init__()
        self.n_d, self.gamma = n_d, gamma
        self.initial_bn = nn.BatchNorm1d(features)
        self.transformers = nn.ModuleList(self.Transformer(features, n_d + n_a) for _ in range(steps + 1))
        self.attention = nn.ModuleList(nn.Linear(n_a, features) for _ in range(steps))
        self.final_mapping = nn.Linear(n_d, 2, bias=False)

    def forward(self, x):
        x = self.initial_bn(x)
        prior, out = torch.ones_like(x), 0
        att = self.transformers[0](x)[:, self.n_d :]
        for attention, transformer in zip(self.attention, self.transformers[1:], strict=True):
            mask = F.softmax(attention(att) * prior, dim=-1)
            prior = torch.mul(self.gamma - mask, prior)
            h = transformer(torch.mul(mask, x))
            out = out + F.relu(h[:, : self.n_d])
            att = h[:, self.n_d :]
        return self.final_mapping(out)


def cases():
    return {
        "probabilities": case(Probabilities, (4,)),
        "actor critic softmax": case(ActorCritic, (4,)),
        "mixture density": case(MixtureDensity, (2,)),
        "vae": case(Vae, (5,)),
        "soft value": case(SoftValue, (4,)),
        "gaussian head": case(GaussianHead, (4,)),
        "spline kan": case(SplineKan, (3,)),
        "ft-transformer": case(FtTransformer, (3,)),
        "tabnet": case(TabNet, (4,)),
    }
