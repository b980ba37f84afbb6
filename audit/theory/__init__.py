"""Signal propagation in random transformers: what a configuration does to its tokens before any training."""
