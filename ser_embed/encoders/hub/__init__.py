"""Model files: where the config and the weights of a transformer are, on this machine or on the Hugging Face Hub."""
