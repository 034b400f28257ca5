"""Procedural faces with exact labels, seen by a simulated event sensor and RGB camera."""
