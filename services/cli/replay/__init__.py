"""`pulse replay`: the log folded once more, beside the workers or in their place."""
