"""What both functions share. Imports point downwards only; see CONTRIBUTING.md for the layers."""

__version__ = "0.1.0"
