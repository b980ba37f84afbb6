"""The JSON Schema of `audit.json`; a test holds it to the records it describes."""
