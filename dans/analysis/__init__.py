"""Looking at what was trained: where negatives lie, and what runs add up to."""
