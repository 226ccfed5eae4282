"""What an answer is worth, and how sure we can be about it. Plain data only; no model in here."""
