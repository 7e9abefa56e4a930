"""Lineage: where a number comes from, and whether what is here is what was run.

python -m stages.lineage trace WHAT [--format text|json|dot]
python -m stages.lineage verify [--deep] [--rerun STAGE[,STAGE...]] [--signed EVIDENCE --key PUBLIC]

WHAT: a cell of the report (adaptive/f1), an image id, a model (adaptive-1-1), a path that DVC tracks, a source file by
name or sha256, a patient's pseudonym.
"""

import argparse
import sys
from pathlib import Path

from stages.common.errors import Fault


def main(words: list[str]) -> int:
    options = read_options(words)
    if options.command == "trace":
        return trace_command(options)
    raise AssertionError(options.command)


def read_options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m stages.lineage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    trace = commands.add_parser("trace", help="what a thing was made from, and what was made from it")
    trace.add_argument("what")
    trace.add_argument("--format", choices=("text", "json", "dot"), default="text")
    return parser.parse_args(words)


def trace_command(options: argparse.Namespace) -> int:
    from stages.lineage import show, trace

    graph, start = trace.trace(trace.Project(Path()), options.what)
    forms = {"text": show.text, "json": show.as_json, "dot": show.dot}
    print(forms[options.format](graph, start))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Fault as fault:
        sys.exit(f"lineage: {fault}")
    except BrokenPipeError:  # `| head`
        sys.exit(0)
