"""Calibration of an RGB camera and an event camera that look at the same things."""
