"""An audit in the forms that other programs read: one file per form; results only, no torch."""
