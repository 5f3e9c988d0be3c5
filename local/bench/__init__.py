"""Every budget as a ratio within one run: ``python -m local.bench``."""
