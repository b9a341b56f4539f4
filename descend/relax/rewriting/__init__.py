"""Rewrites a traced program equation by equation: one small rule a primitive."""
