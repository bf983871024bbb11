"""What stands between the package and the outside: readers of files of others, texts for a terminal, secrets."""
