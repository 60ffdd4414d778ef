"""Early-exit methods, one file per paper."""
