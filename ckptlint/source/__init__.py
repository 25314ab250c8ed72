"""Python source and the user's model: built in a subprocess, read by ast."""
