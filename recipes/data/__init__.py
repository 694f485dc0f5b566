"""Text files, tokenizers and batches."""
