"""From a checkpoint to observations: loading through transformers and watching every attention layer."""
