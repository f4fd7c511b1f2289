"""The command line: `python -m fastmoments warm-up relu` compiles kernels ahead of use."""

import argparse
import sys

from fastmoments.dispatch import PRECISIONS
from fastmoments.warming import warm_up


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m fastmoments", description="Commands of fastmoments.")
    commands = parser.add_subparsers(dest="command", required=True)
    warm = commands.add_parser("warm-up", help="compile CPU kernels ahead of use and keep them on disk")
    warm.add_argument("names", nargs="*", help="activations or functions, such as relu, relu_cov; default all")
    warm.add_argument(
        "--dtypes", action="append", choices=PRECISIONS, metavar="DTYPE", help="one of them; default both"
    )
    given = parser.parse_args(arguments)
    try:
        warm_up(*given.names, dtypes=tuple(given.dtypes or PRECISIONS))
    except (ImportError, ValueError) as error:
        parser.exit(2, f"{error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
