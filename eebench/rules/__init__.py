"""Exit rules: how a sample decides to leave."""
