"""Runs the experiments and writes their pages under docs/experiments/.

usage: python -m experiments [name ...]     what is missing in docs/experiments/<name>.json, then page and figure
       --fast                               little of everything, into .experiments/
       --again                              from the beginning
       --write                              nothing computed: page and figure of what is there
"""

import argparse

from experiments import EXPERIMENTS
from experiments.running import DOCS, FAST_DOCS, load, run, write

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(EXPERIMENTS))
    for option in ("--fast", "--again", "--write"):
        parser.add_argument(option, action="store_true")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(EXPERIMENTS)
    if unknown:
        parser.error(f"expected names among {', '.join(EXPERIMENTS)}, got {min(unknown)}")
    docs = FAST_DOCS if arguments.fast else DOCS
    for name in arguments.names or EXPERIMENTS:
        experiment = load(name)
        if not arguments.write:
            run(experiment, docs, arguments.fast, arguments.again)
        write(experiment, docs)
