"""Measures networks on recordings: session by session, then merged into one report."""
