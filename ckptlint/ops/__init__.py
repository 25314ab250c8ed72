"""The verbs of a migration: tensors in, tensors out, each with its inverse."""
