"""From a published audit to pages: sees results only, never torch or transformers."""
