"""Looking for danger in files: everything in them that a loader might run, found without believing their form.

Readers refuse what contradicts itself, which is right for whoever wants the weights. A scanner must look on: a wrong checksum or a
second directory never hides a record, and what is named before a pickle breaks off has run by then.
"""
