"""The `attnaudit` command: the library's verbs and the service's."""

import sys

from audit.cli.main import VERBS, Verbs, execute


def main() -> None:
    """Entry point of the console script."""
    sys.exit(execute(Verbs(VERBS)))
