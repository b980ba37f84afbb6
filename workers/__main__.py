"""`python -P -m workers` is `attnaudit`."""

from workers.cli import main

main()
