"""Which line of the source defines a key, by syntax alone: nothing is imported or run."""
