"""State, optimiser, devices, checkpoints, evaluation, and the loop over them."""
