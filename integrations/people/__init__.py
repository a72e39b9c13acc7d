"""Who people are and what they belong to, as systems outside know it."""
