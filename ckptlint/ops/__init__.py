"""The operations of migrations: one idea and its inverse a file. `vocabulary` names them all; who needs a few imports these alone."""
