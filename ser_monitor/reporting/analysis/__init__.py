"""Analysis of what was monitored: sums over segments, trends, drift, performance from feedback, alerts by rule."""
