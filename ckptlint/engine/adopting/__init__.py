"""Turn a key mapping that was written for another tool into matches of real keys, exactly as that tool would apply it."""
