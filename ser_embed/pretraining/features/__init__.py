"""Features: frame-wise acoustic features that pre-training clusters and regresses."""
