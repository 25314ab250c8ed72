"""Tensor primitives over real arrays."""
