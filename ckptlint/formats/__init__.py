"""Bytes to checkpoint and back, one file a format."""
