"""Measurements of speed, beside what else can be installed."""
