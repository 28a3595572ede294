"""From lines of text to graphs: reading, naming, finding and checking data sets."""
