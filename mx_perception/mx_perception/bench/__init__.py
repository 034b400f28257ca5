"""Measurements that print what they measured."""
