"""What runs in the subprocess, beside the user's code: standard library and torch only, nothing of ckptlint."""
