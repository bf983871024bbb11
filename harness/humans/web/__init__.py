"""The pages of a study, and the server behind them."""
