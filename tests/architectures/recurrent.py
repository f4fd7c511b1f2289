"""Networks with LSTM and GRU, by PyTorch's layers, by its cells in a loop, and by hand."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.architectures.case import case


class LstmClassifier(nn.Module):
    """The last output of a sequence."""

    def __init__(self, **options):
        super().__init__()
        self.lstm = nn.LSTM(2, 3, batch_first=True, **options)
        self.fc = nn.Linear(6 if self.lstm.bidirectional else 3, 2)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(out[:, -1, :])


class LstmForecast(nn.Module):
    """States that forward makes, and the hidden state that comes back."""

    def __init__(self):
        super().__init__()
        self.lstm, self.linear = nn.LSTM(1, 4), nn.Linear(4, 1)

    def forward(self, x):
        h0, c0 = (torch.zeros(1, x.size(0), 4, dtype=x.dtype, device=x.device) for _ in "hc")
        _, (hn, _) = self.lstm(x.permute(1, 0, 2), (h0, c0))
        return self.linear(F.relu(hn[-1]))


class GruClassifier(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.gru, self.fc = nn.GRU(2, 3, batch_first=True, **options), nn.Linear(3, 2)

    def forward(self, x):
        _, h_n = self.gru(x)
        return self.fc(h_n[-1])


class LstmCells(nn.Module):
    """Two cells over time, their outputs stacked."""

    def __init__(self):
        super().__init__()
        self.lstm1, self.lstm2, self.linear = nn.LSTMCell(1, 3), nn.LSTMCell(3, 2), nn.Linear(2, 1)

    def forward(self, input):
        outputs = []
        h_t, c_t = (torch.zeros(input.size(0), 3, dtype=input.dtype) for _ in "hc")
        h_t2, c_t2 = (torch.zeros(input.size(0), 2, dtype=input.dtype) for _ in "hc")
        for input_t in input.split(1, dim=1):
            h_t, c_t = self.lstm1(input_t, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            outputs += [self.linear(h_t2)]
        return torch.cat(outputs, dim=1)


class GruCells(nn.Module):
    """A cell over time from a state that is an input too."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.GRUCell(2, 3), nn.Linear(3, 2)

    def forward(self, x, hidden):
        for t in range(x.size(1)):
            hidden = self.cell(x[:, t], hidden)
        return self.out(hidden)


class LstmByHand(nn.Module):
    """All gates of one matrix, by chunk."""

    def __init__(self, hidden=3):
        super().__init__()
        self.hidden, self.W, self.U, self.head = (
            hidden,
            nn.Linear(2, 4 * hidden),
            nn.Linear(hidden, 4 * hidden),
            nn.Linear(hidden, 2),
        )

    def forward(self, x):
        h = c = x.new_zeros(x.size(0), self.hidden)
        for t in range(x.size(1)):
            i, f, g, o = (self.W(x[:, t]) + self.U(h)).chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.head(h)


class MinimalGate(nn.Module):
    """h = (1 - z) h + z tanh(...), by lerp."""

    def __init__(self):
        super().__init__()
        self.gate, self.state, self.head = nn.Linear(5, 3), nn.Linear(5, 3), nn.Linear(3, 2)

    def forward(self, x):
        h = x.new_zeros(x.size(0), 3)
        for x_t in x.unbind(1):
            z = self.gate(torch.cat([x_t, h], 1)).sigmoid()
            h = torch.lerp(h, torch.tanh(self.state(torch.cat([x_t, h], 1))), z)
        return self.head(h)


class ConvLstm(nn.Module):
    """A cell whose products are convolutions."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1 + 2, 4 * 2, 3, padding=1), nn.Conv2d(2, 1, 1)

    def forward(self, frames):
        h, c = (frames.new_zeros(len(frames), 2, *frames.shape[-2:]) for _ in "hc")
        for t in range(frames.size(1)):
            gates = self.conv(torch.cat([frames[:, t], h], dim=1))
            i, f, o, g = torch.split(gates, 2, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.head(h).flatten(1)


def cases():
    return {
        "lstm": case(LstmClassifier, (3, 2)),
        "lstm bidirectional": case(LstmClassifier, (2, 2), num_layers=2, bidirectional=True, dropout=0.1),
        "lstm forecast": case(LstmForecast, (4, 1)),
        "gru": case(GruClassifier, (3, 2)),
        "gru of two": case(GruClassifier, (2, 2), num_layers=2),
        "lstm cells": case(LstmCells, (3,)),
        "gru cells": case(GruCells, (3, 2), (3,)),
        "lstm by hand": case(LstmByHand, (3, 2)),
        "minimal gate": case(MinimalGate, (3, 2)),
        "conv lstm": case(ConvLstm, (2, 1, 2, 2)),
    }
