"""Scoring: the windows of all sessions in one forward pass, each with what its session knows of the speaker."""
