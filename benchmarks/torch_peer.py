"""Both families in PyTorch, written as its users write them: the peer of `bench_training.py`.

Run as a script, it answers the requests of `timing.serve_steps`.
"""

import contextlib
import math
import sys

import numpy as np
import torch
from torch import nn

from timing import serve_steps


class Transformer(nn.Module):
    """`torch.nn.Transformer` with the positions and the tied embeddings of `zoo.transformer`."""

    def __init__(self, vocabulary_size, dim, num_heads, num_layers, feed_forward_dim, dropout):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, dim, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        self.transformer = nn.Transformer(
            dim, num_heads, num_layers, num_layers, feed_forward_dim, dropout,
            batch_first=True, norm_first=True,
        )  # fmt: skip
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.dropout = nn.Dropout(dropout)
        position = torch.arange(512).unsqueeze(1)
        frequency = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
        table = torch.stack([torch.sin(position * frequency), torch.cos(position * frequency)], 2)
        self.register_buffer("positions", table.reshape(512, dim))

    def embed(self, ids):
        x = self.embedding(ids) * math.sqrt(self.embedding.embedding_dim)
        return self.dropout(x + self.positions[: ids.shape[1]])

    def forward(self, source, target):
        padding = source == 0
        causal = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        x = self.transformer(
            self.embed(source),
            self.embed(target),
            tgt_mask=causal,
            tgt_is_causal=True,
            src_key_padding_mask=padding.float() * -1e9,
            memory_key_padding_mask=padding.float() * -1e9,
        )
        return x @ self.embedding.weight.T + self.bias


class RNNSeq2Seq(nn.Module):
    """A bidirectional LSTM encoder and an LSTM decoder with Luong's general attention."""

    def __init__(self, vocabulary_size, embedding_dim, hidden_dim, num_layers, dropout):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_dim, padding_idx=0)
        self.num_layers = num_layers
        self.encoder = nn.LSTM(
            embedding_dim, hidden_dim // 2, num_layers,
            batch_first=True, bidirectional=True, dropout=dropout,
        )  # fmt: skip
        self.decoder = nn.LSTM(
            embedding_dim, hidden_dim, num_layers, batch_first=True, dropout=dropout
        )
        self.bridge = nn.ModuleList(
            nn.Linear(hidden_dim, hidden_dim) for _ in range(2 * num_layers)
        )
        self.keys = nn.Linear(hidden_dim, hidden_dim, bias=False)
        self.read_out = nn.Linear(2 * hidden_dim, embedding_dim)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.dropout = nn.Dropout(dropout)

    def forward(self, source, target):
        memory, states = self.encoder(self.dropout(self.embedding(source)))
        first = []
        for i, state in enumerate(states):  # hidden, then cell: (layers * 2, batch, hidden / 2)
            state = state.reshape(self.num_layers, 2, source.shape[0], -1)
            joined = torch.cat([state[:, 0], state[:, 1]], dim=-1)
            maps = self.bridge[i * self.num_layers : (i + 1) * self.num_layers]
            first.append(torch.stack([torch.tanh(m(s)) for m, s in zip(maps, joined, strict=True)]))
        hidden, _ = self.decoder(self.dropout(self.embedding(target)), tuple(first))
        scores = hidden @ self.keys(memory).transpose(1, 2)
        scores = scores.masked_fill((source == 0).unsqueeze(1), -1e9)
        context = torch.softmax(scores, dim=-1) @ memory
        combined = torch.tanh(self.read_out(torch.cat([hidden, context], dim=-1)))
        return self.dropout(combined) @ self.embedding.weight.T + self.bias


def training_step(module):
    """Return a function of ids that trains `module` for one step and waits for the loss."""
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, betas=(0.9, 0.98))
    loss_of = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=0.1)
    module.train()

    def step(source, target, labels):
        optimizer.zero_grad()
        logits = module(torch.from_numpy(source), torch.from_numpy(target))
        loss = loss_of(logits.flatten(0, 1), torch.from_numpy(labels).flatten().long())
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def main(family, dtype, vocabulary_size, batch, length, dropout):
    """Serve training steps of a model with the shapes of `transformer_small` or `rnn_small`."""
    torch.set_num_threads(2)
    if family == "Transformer":
        module = Transformer(vocabulary_size, 256, 4, 4, 1024, dropout)
    else:
        module = RNNSeq2Seq(vocabulary_size, 256, 512, 2, dropout)
    step = training_step(module)
    ids = np.random.default_rng(0).integers(4, vocabulary_size, (3, batch, length)).astype("int32")

    def run():
        # Entered in each step: autocast keeps its copies of the weights until it is left.
        bfloat16 = dtype == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16) if bfloat16 else contextlib.nullcontext():
            step(*ids)

    serve_steps(sum(parameter.numel() for parameter in module.parameters()), run)


if __name__ == "__main__":
    main(*sys.argv[1:3], *(int(argument) for argument in sys.argv[3:6]), float(sys.argv[6]))
