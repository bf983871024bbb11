"""The leaderboard: entries, tables, pages, and the trust that puzzles put in simulators."""
