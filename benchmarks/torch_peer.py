"""Train the two families in idiomatic PyTorch, for `bench_training.py`.

As a script it answers the first input line with the number of parameters, and each further line with
the seconds of a training step.
"""

import contextlib
import math
import sys
import time

import numpy as np
import torch
from torch import nn


class Transformer(nn.Module):
    """`torch.nn.Transformer` with the positions and tied tables of `zoo.transformer`."""

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
    """Bidirectional LSTM encoder and LSTM decoder with Luong's general attention."""

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
        read = torch.tanh(self.read_out(torch.cat([hidden, context], dim=-1)))
        return self.dropout(read) @ self.embedding.weight.T + self.bias


def training_step(module):
    """Return a function that runs one training step on `(source, target, following)` ids."""
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, betas=(0.9, 0.98))
    loss_of = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=0.1)
    module.train()

    def step(source, target, following):
        optimizer.zero_grad()
        logits = module(torch.from_numpy(source), torch.from_numpy(target))
        loss = loss_of(logits.flatten(0, 1), torch.from_numpy(following).flatten().long())
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def main(family, dtype, vocabulary_size, batch, length, dropout):
    """Run a training step with the shapes of `transformer_small` or `rnn_small` per input line."""
    torch.set_num_threads(2)
    if family == "Transformer":
        module = Transformer(vocabulary_size, 256, 4, 4, 1024, dropout)
    else:
        module = RNNSeq2Seq(vocabulary_size, 256, 512, 2, dropout)
    step = training_step(module)
    ids = np.random.default_rng(0).integers(4, vocabulary_size, (3, batch, length)).astype("int32")

    def run():
        # One context per step: autocast keeps its copies of the weights until the context ends.
        bfloat16 = dtype == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16) if bfloat16 else contextlib.nullcontext():
            step(*ids)

    for _ in range(2):
        run()
    sys.stdin.readline()
    print(sum(parameter.numel() for parameter in module.parameters()), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3], *(int(argument) for argument in sys.argv[3:6]), float(sys.argv[6]))
