"""`python -m velodrome` is the command line."""

from velodrome.cli import main

main()
