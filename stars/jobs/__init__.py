"""Job status, failures, GPU assignment and requeueing."""
