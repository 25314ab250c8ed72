"""The checkpoint compatibility linter and migrator for PyTorch."""

__version__ = "0.1.0"
