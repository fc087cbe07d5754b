"""Texts in, a scored model out: one module for each task."""
