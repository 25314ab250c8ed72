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
