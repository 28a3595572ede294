"""A report of trained runs as one self-contained HTML page."""
