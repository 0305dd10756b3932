"""Do the engines train the same mathematics: the comparison, its verdicts and their keeping."""
