"""Data: reading text files, splitting, learning tokenizers, making batches."""
