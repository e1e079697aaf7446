"""Sessions: listening to sources, from blocks of samples to committed events."""
