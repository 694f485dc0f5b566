"""A run's folder, command line and report."""
