"""Cameras that are plugged in: each is a live `Source` that survives an unplug."""
