"""Text to core data and back; every error with file:line:column."""
