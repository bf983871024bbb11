"""Answers as files of others: tables, Label Studio, Potato, and the table that the explainer ``people`` reads."""
