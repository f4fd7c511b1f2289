"""Run the experiments and write their pages under docs/experiments/.

usage: python -m experiments [name ...]     compute what docs/experiments/<name>.json lacks, then page and figure
       --fast                               compute small cases, into .experiments/
       --again                              compute all cases
       --write                              compute nothing; page and figure from the results
"""

import argparse

from experiments import EXPERIMENTS
from experiments.running import DOCS, FAST_DOCS, load, run, write
from fastmoments_kernels.threads import set_num_threads

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(EXPERIMENTS))
    for option in ("--fast", "--again", "--write"):
        parser.add_argument(option, action="store_true")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(EXPERIMENTS)
    if unknown:
        parser.error(f"expected names among {', '.join(EXPERIMENTS)}, got {min(unknown)}")
    set_num_threads(1)  # times are those of one thread
    docs = FAST_DOCS if arguments.fast else DOCS
    for name in arguments.names or EXPERIMENTS:
        experiment = load(name)
        if not arguments.write:
            run(experiment, docs, arguments.fast, arguments.again)
        write(experiment, docs)
