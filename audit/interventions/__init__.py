"""Takes parts out of a running model and measures what that costs: ablation, drop curves and smaller checkpoints."""
