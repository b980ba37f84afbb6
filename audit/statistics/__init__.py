"""Statistics over documents: how sure a mean is."""
