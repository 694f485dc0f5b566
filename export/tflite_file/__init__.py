"""TFLite files: reading, rewriting, checking."""
