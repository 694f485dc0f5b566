"""Atomic writes and isolated subprocesses."""
