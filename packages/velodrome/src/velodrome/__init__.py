"""Velodrome: the same training job, raced on every engine, on your machine."""

__version__ = "0.1.0"
