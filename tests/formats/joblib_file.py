"""A file that joblib wrote: `joblib.dump({"w": arange(6, float32) as 2 by 3, "note": "x", "b": zeros(2)}, FILE)`, by joblib 1.6."""

import base64
import zlib

_PACKED = (
    "eNptUE1Lw0AQbdKUlogfRUTBP1AvPXnwIFjx5kIORfAYdpvoRDfJkg9qDkI8VCPsrdO7v8s/UyeJ2oM+ZoYZ9j3mzZbW6rPT4hlH2pij3n+IhQ"
    "zEOMpDVbgqmD1KH/XQqcfLJOHFbcKV8hNc4skL1qpBmouZ5GmKuteoUPcjj9dcIuleClz5yEzWfaUpTjwSa+OKei8r6AUGPx2xzbtTfK/ecIoj"
    "1tXGOTqOc70mNIV1MhTa5lLGczcMucJKH7dOm30ul8F9FPpR5ooi81Nke7mw179oTy0vqEwoKEvKj8nq5vsXtBXFGd1rPFEKBKu9EfpgwxYzFw"
    "jbsAO7MCSjZxujcPDXJhxWcPTv/g3y8ReVP5eD"
)
JOBLIB = zlib.decompress(base64.b64decode("".join(_PACKED)))

# of {"w": three numbers, "o": an array of two Python objects, "b": two ones}, in the same way
_OBJECTS = (
    "eNqFUc1Kw0AQbpqWllp/imgFX6BecvLgQajSky5E8OJJwm66daObHzYJNVChHootLHhw8m4+hm9QN4ktwYLOYXZmmJ/v+3ZaSz8rhb1AT2pjkP"
    "uPPuEOMbzYDRIrcOwnTkF2zCy9FAIndwIHARXwASevkE01w5jYHIchyHo+BbLhDXHWq5pkPWQ4oID0mYp9MVSjUhuoeBglqs6aq0j1VkensJi/"
    "wS30kC61czBN83qpLHeoEgGRLcy5P7ZcFwcwl8cFzvyahbnz4LnUiyySRDQEtBeT9rJkBdVpX7mLFP0wl5oPrFaQYQ3WYluoOgO2zXbYLuvI6s"
    "1ZGdPkF6a+wsS6C3aUHZvW0/fV1sMcmWHZvqCGG/PIKSSRbUtQ2/fCSMR2lCu0qRqqzGCgESjOajkgvSzU/6AW99mPPoNJVWKkV2u25E+2o9Ji"
    "drCpP+vOC676Ws+v/uqNjW+DG+uy"
)
JOBLIB_OBJECTS = zlib.decompress(base64.b64decode("".join(_OBJECTS)))
