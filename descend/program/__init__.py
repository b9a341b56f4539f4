"""Reads a JAX program without running it: its equations, their source lines, and what breaks derivatives in it."""
