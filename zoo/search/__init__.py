"""Greedy search, beam search and sampling, over the contract of `Seq2Seq`."""
