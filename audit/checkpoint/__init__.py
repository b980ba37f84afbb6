"""A checkpoint on disk: what it is made of, and every reason to refuse it before its weights are loaded."""
