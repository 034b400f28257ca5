"""Verbs of `./mx` that belong to perception."""
