"""Pickles, read and written without running anything in them."""
