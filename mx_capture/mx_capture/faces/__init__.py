"""Faces in images: found, followed, aligned."""
