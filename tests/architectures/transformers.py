"""Blocks of transformers written out, as their libraries write them: timm, Swin, BERT, GPT-2, Llama."""

import math

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.architectures.case import case, mlp
from tests.architectures.normalised import RmsNorm


class TimmAttention(nn.Module):
    """One projection for query, key and value; fused or written out."""

    def __init__(self, dim, heads, fused):
        super().__init__()
        self.num_heads, self.head_dim, self.fused_attn = heads, dim // heads, fused
        self.scale = self.head_dim**-0.5
        self.qkv, self.proj = nn.Linear(dim, dim * 3), nn.Linear(dim, dim)
        self.attn_drop, self.proj_drop = nn.Dropout(0.0), nn.Dropout(0.1)
        self.q_norm, self.k_norm = nn.Identity(), nn.Identity()

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        if self.fused_attn:
            x = F.scaled_dot_product_attention(q, k, v, dropout_p=0.0)
        else:
            q = q * self.scale
            attn = q @ k.transpose(-2, -1)
            attn = attn.softmax(dim=-1)
            attn = self.attn_drop(attn)
            x = attn @ v
        x = x.transpose(1, 2).reshape(B, N, C)
        return self.proj_drop(self.proj(x))


class TimmBlock(nn.Module):
    """LayerScale and DropPath around attention and feed-forward."""

    class LayerScale(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.gamma = nn.Parameter(0.5 * torch.ones(dim))

        def forward(self, x):
            return x * self.gamma

    def __init__(self, fused, dim=4, heads=2):
        super().__init__()
        self.norm1, self.attn, self.ls1 = nn.LayerNorm(dim), TimmAttention(dim, heads, fused), self.LayerScale(dim)
        self.norm2, self.mlp, self.ls2 = (
            nn.LayerNorm(dim),
            mlp(dim, 8, dim, activation=nn.GELU),
            self.LayerScale(dim),
        )
        self.drop_path1, self.drop_path2, self.fc_norm, self.head = (
            nn.Identity(),
            nn.Identity(),
            nn.LayerNorm(dim),
            nn.Linear(dim, 2),
        )

    def forward(self, x):
        x = x + self.drop_path1(self.ls1(self.attn(self.norm1(x))))
        x = x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))
        return self.head(self.fc_norm(x.mean(dim=1)))


def window_partition(x, size):
    B, H, W, C = x.shape
    x = x.view(B, H // size, size, W // size, size, C)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, size, size, C)


def window_reverse(windows, size, H, W):
    B = int(windows.shape[0] / (H * W / size / size))
    x = windows.view(B, H // size, W // size, size, size, -1)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(B, H, W, -1)


class SwinBlock(nn.Module):
    """Attention within windows of a rolled image, with a bias of relative positions and a mask across the seam."""

    def __init__(self, dim=4, heads=1, height=2, width=4, shift=1):
        super().__init__()
        self.shape, self.window, self.shift, self.heads = (height, width), 2, shift, heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj, self.mlp = (
            nn.Linear(dim, 3 * dim),
            nn.Linear(dim, dim),
            mlp(dim, 6, dim, activation=nn.GELU),
        )
        coords = torch.stack(torch.meshgrid([torch.arange(2), torch.arange(2)], indexing="ij")).flatten(1)
        relative = (coords[:, :, None] - coords[:, None, :]).permute(1, 2, 0) + 1
        self.register_buffer("relative_position_index", relative[..., 0] * 3 + relative[..., 1])
        self.relative_position_bias_table = nn.Parameter(torch.randn(9, heads))
        self.register_buffer("attn_mask", self.mask(height, width) if shift else None)

    def mask(self, height, width):
        image, count = torch.zeros((1, height, width, 1)), 0
        cuts = (slice(0, -self.window), slice(-self.window, -self.shift), slice(-self.shift, None))
        for h in cuts:
            for w in cuts:
                image[:, h, w, :] = count
                count += 1
        regions = window_partition(image, self.window).view(-1, self.window**2)
        mask = regions.unsqueeze(1) - regions.unsqueeze(2)
        return mask.masked_fill(mask != 0, -100.0).masked_fill(mask == 0, 0.0)

    def attention(self, x):
        B_, N, C = x.shape
        q, k, v = self.qkv(x).reshape(B_, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        attn = (q * (C // self.heads) ** -0.5) @ k.transpose(-2, -1)
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)].view(N, N, -1)
        attn = attn + bias.permute(2, 0, 1).contiguous().unsqueeze(0)
        if self.attn_mask is not None:
            nW = self.attn_mask.shape[0]
            attn = attn.view(B_ // nW, nW, self.heads, N, N) + self.attn_mask.unsqueeze(1).unsqueeze(0)
            attn = attn.view(-1, self.heads, N, N)
        attn = torch.softmax(attn, dim=-1)
        return self.proj((attn @ v).transpose(1, 2).reshape(B_, N, C))

    def forward(self, x):
        (H, W), (B, L, C), size = self.shape, x.shape, self.window
        shortcut = x
        x = self.norm1(x).view(B, H, W, C)
        if self.shift > 0:
            x = torch.roll(x, shifts=(-self.shift, -self.shift), dims=(1, 2))
        windows = self.attention(window_partition(x, size).view(-1, size * size, C))
        x = window_reverse(windows.view(-1, size, size, C), size, H, W)
        if self.shift > 0:
            x = torch.roll(x, shifts=(self.shift, self.shift), dims=(1, 2))
        x = shortcut + x.view(B, L, C)
        x = x + self.mlp(self.norm2(x))
        return x.mean(1)


class BertLayer(nn.Module):
    """Hugging Face's: three projections, an additive mask, LayerNorm behind each sum, a pooler."""

    def __init__(self, dim=4, heads=2):
        super().__init__()
        self.heads, self.head_size = heads, dim // heads
        self.query, self.key, self.value, self.dense = (nn.Linear(dim, dim) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-12), nn.LayerNorm(dim, eps=1e-12)
        self.intermediate, self.output, self.pooler = nn.Linear(dim, 8), nn.Linear(8, dim), nn.Linear(dim, 2)
        self.dropout = nn.Dropout(0.1)
        self.register_buffer("attention_mask", torch.tensor([[1.0, 1.0, 1.0, 0.0]]))

    def transpose_for_scores(self, x):
        new_x_shape = x.size()[:-1] + (self.heads, self.head_size)
        return x.view(new_x_shape).permute(0, 2, 1, 3)

    def forward(self, hidden_states):
        extended = (1.0 - self.attention_mask[:, None, None, :]) * torch.finfo(hidden_states.dtype).min
        query = self.transpose_for_scores(self.query(hidden_states))
        key = self.transpose_for_scores(self.key(hidden_states))
        value = self.transpose_for_scores(self.value(hidden_states))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(self.head_size)
        probabilities = self.dropout(nn.functional.softmax(scores + extended, dim=-1))
        context = torch.matmul(probabilities, value).permute(0, 2, 1, 3).contiguous()
        context = context.view(context.size()[:-2] + (-1,))
        attended = self.norm1(self.dropout(self.dense(context)) + hidden_states)
        out = self.dropout(self.output(F.gelu(self.intermediate(attended))))
        sequence = self.norm2(out + attended)
        return torch.tanh(self.pooler(sequence[:, 0]))


class Gpt2Block(nn.Module):
    """Conv1D weights, a causal mask by torch.where, GELU by tanh, learned positions; embeddings come in."""

    class Conv1D(nn.Module):
        def __init__(self, nf, nx):
            super().__init__()
            self.nf, self.weight = nf, nn.Parameter(torch.randn(nx, nf) / math.sqrt(nx))
            self.bias = nn.Parameter(0.3 * torch.randn(nf))

        def forward(self, x):
            size_out = x.size()[:-1] + (self.nf,)
            x = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
            return x.view(size_out)

    def __init__(self, dim=4, heads=2):
        super().__init__()
        self.heads, self.wpe = heads, nn.Embedding(8, dim)
        self.ln_1, self.ln_2, self.ln_f = (nn.LayerNorm(dim) for _ in range(3))
        self.c_attn, self.c_proj = self.Conv1D(3 * dim, dim), self.Conv1D(dim, dim)
        self.c_fc, self.c_out, self.lm_head = (
            self.Conv1D(8, dim),
            self.Conv1D(dim, 8),
            nn.Linear(dim, 3, bias=False),
        )
        self.register_buffer("bias", torch.tril(torch.ones(8, 8, dtype=torch.bool)).view(1, 1, 8, 8))

    def split_heads(self, x):
        return x.view(*x.size()[:-1], self.heads, x.size(-1) // self.heads).permute(0, 2, 1, 3)

    def attend(self, x):
        query, key, value = (self.split_heads(part) for part in self.c_attn(x).split(x.size(-1), dim=2))
        weights = torch.matmul(query, key.transpose(-1, -2)) / (value.size(-1) ** 0.5)
        causal = self.bias[:, :, : key.size(-2), : key.size(-2)]
        weights = torch.where(causal, weights, torch.finfo(weights.dtype).min)
        out = torch.matmul(nn.functional.softmax(weights, dim=-1), value)
        return self.c_proj(out.permute(0, 2, 1, 3).contiguous().view(x.size()))

    def forward(self, inputs_embeds):
        positions = torch.arange(inputs_embeds.size(1), device=inputs_embeds.device)
        x = inputs_embeds + self.wpe(positions)
        x = x + self.attend(self.ln_1(x))
        x = x + self.c_out(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))
        return self.lm_head(self.ln_f(x)[:, -1])


class LlamaBlock(nn.Module):
    """Rotary positions, scaled_dot_product_attention(is_causal), RMSNorm, SwiGLU, shared keys and values."""

    def __init__(self, norm, dim=4, length=3):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (
            nn.Linear(dim, dim, False),
            nn.Linear(dim, 2, False),
            nn.Linear(dim, 2, False),
        )
        self.o_proj, self.norm1, self.norm2 = nn.Linear(dim, dim, False), norm(dim), norm(dim)
        self.gate, self.up, self.down = nn.Linear(dim, 6, False), nn.Linear(dim, 6, False), nn.Linear(6, dim, False)
        angle = torch.arange(length)[:, None] * torch.ones(1, 2)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def rotate(self, x):
        half = torch.cat((-x[..., x.shape[-1] // 2 :], x[..., : x.shape[-1] // 2]), dim=-1)
        return x * self.cos + half * self.sin

    def forward(self, x):
        b, length, dim = x.shape
        h = self.norm1(x)
        q = self.q_proj(h).view(b, length, -1, 2).transpose(1, 2)
        k, v = (p(h).view(b, length, -1, 2).transpose(1, 2) for p in (self.k_proj, self.v_proj))
        k, v = (z.repeat_interleave(2, dim=1) for z in (self.rotate(k), v))
        h = F.scaled_dot_product_attention(self.rotate(q), k, v, is_causal=True)
        x = x + self.o_proj(h.transpose(1, 2).contiguous().view(b, length, dim))
        h = self.norm2(x)
        return (x + self.down(F.silu(self.gate(h)) * self.up(h)))[:, -1]


def cases():
    return {
        "timm block": case(TimmBlock, (3, 4), fused=False),
        "timm block fused": case(TimmBlock, (3, 4), fused=True),
        "swin": case(SwinBlock, (8, 4)),
        "bert": case(BertLayer, (4, 4)),
        "gpt2": case(Gpt2Block, (3, 4)),
        "llama": case(LlamaBlock, (3, 4), norm=RmsNorm),
        "llama rms": case(LlamaBlock, (3, 4), norm=nn.RMSNorm),
    }
