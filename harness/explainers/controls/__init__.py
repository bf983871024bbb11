"""Controls: rows that other explainers are read against."""
