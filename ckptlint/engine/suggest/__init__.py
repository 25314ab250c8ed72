"""Suggest the migration between two schemas, and know what is undecidable."""
