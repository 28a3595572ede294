"""Runs to one page that a person can read: what was trained, how well, and where it fails."""
