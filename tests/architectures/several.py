"""Networks of several inputs or several outputs: a tensor, a tuple or a dictionary, its keys in order."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.architectures.case import case, mlp


class Dueling(nn.Module):
    def __init__(self):
        super().__init__()
        self.features, self.value, self.advantage = mlp(4, 12), mlp(12, 8, 1), mlp(12, 8, 3)

    def forward(self, state):
        h = torch.relu(self.features(state))
        value, advantage = self.value(h), self.advantage(h)
        return value + advantage - advantage.mean(dim=1, keepdim=True)


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine, self.action_head, self.value_head = nn.Linear(4, 12), nn.Linear(12, 2), nn.Linear(12, 1)

    def forward(self, state):
        state = F.relu(self.affine(state))
        return self.action_head(state), self.value_head(state).squeeze(-1)


class Policy(nn.Module):
    """Extractors of their own for policy and value, and heads behind them."""

    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.policy_net, self.value_net = (nn.Sequential(mlp(6, 8, 8, activation=nn.Tanh), nn.Tanh()) for _ in "pv")
        self.action_net, self.head = nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, observation):
        features = self.flatten(observation)
        return self.action_net(self.policy_net(features)), self.head(self.value_net(features))


class QNetwork(nn.Module):
    """A network that looks at its input's shape before it flattens it."""

    def __init__(self):
        super().__init__()
        self.q_net = mlp(6, 10, 10, 4)

    def forward(self, observation):
        if observation.shape[1:] != (2, 3):
            raise ValueError(f"expected observations (2, 3), got {tuple(observation.shape[1:])}")
        if observation.dim() > 2:
            observation = observation.flatten(start_dim=1)
        return self.q_net(observation)


class Critic(nn.Module):
    """Q(state, action): two inputs joined, and two networks of them."""

    def __init__(self):
        super().__init__()
        self.one, self.two = mlp(5, 10, 8, 1), mlp(5, 10, 8, 1)

    def forward(self, state, action):
        sa = torch.cat([state, action], 1)
        return self.one(sa), self.two(sa)


class VaeEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(6, 10), nn.ELU(), nn.Linear(10, 8), nn.ELU())
        self.fc_mu, self.fc_var = nn.Linear(8, 2), nn.Linear(8, 2)

    def forward(self, x):
        h = self.hidden(x)
        return self.fc_mu(h), self.fc_var(h)


class Siamese(nn.Module):
    """One network of two inputs; the distance of the embeddings, element by element, is weighed."""

    def __init__(self):
        super().__init__()
        self.embed, self.out = mlp(4, 10, 6, activation=nn.GELU), nn.Linear(6, 1)

    def forward(self, one, two):
        return self.out(torch.abs(self.embed(one) - self.embed(two)))


class Siblings(nn.Module):
    """Activations of one depth, of the same function and of others, that meet: exact at any spread."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(10, 3)

    def forward(self, x):
        one, two = self.one(x), self.two(x)
        return {
            "cat": self.head(torch.cat((F.relu(one), F.relu(two)), -1)),
            "others": F.relu(one) + torch.sigmoid(two),
            "twice": F.relu(one) + F.relu(one),
            "x": F.relu(x) - F.relu(-x),
        }


class Ensemble(nn.Module):
    def __init__(self):
        super().__init__()
        self.members = nn.ModuleList(mlp(4, 8, 8, 2, activation=nn.SiLU) for _ in range(3))

    def forward(self, x):
        each = torch.stack([member(x) for member in self.members])
        return each.mean(0), each[0] - each[1]


class Embedder(nn.Module):
    """Outputs by name, of different depths, one a tuple: hidden states, pooled features, logits."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        one = F.gelu(self.one(x))
        two = F.gelu(self.two(one)) + one
        return {"hidden_states": (one, two), "logits": self.head(two), "pooled": two.mean(-1)}


def cases():
    return {
        "dueling": case(Dueling, (4,)),
        "actor critic": case(ActorCritic, (4,)),
        "policy": case(Policy, (2, 3)),
        "q network": case(QNetwork, (2, 3)),
        "critic": case(Critic, (3,), (2,)),
        "vae encoder": case(VaeEncoder, (6,)),
        "siamese": case(Siamese, (4,), (4,)),
        "siblings": case(Siblings, (4,), sd=1.0),
        "ensemble": case(Ensemble, (4,)),
        "embedder": case(Embedder, (4,)),
    }
