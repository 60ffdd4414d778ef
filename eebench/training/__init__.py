"""Training machinery that all methods share: stages, batches, gradients, schedules, resume."""
