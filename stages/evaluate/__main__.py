"""Run: python -m stages.evaluate VARIANT [SEED [FOLD]]"""

from stages import run
from stages.common.data.run_id import add_run_arguments

if __name__ == "__main__":
    run("evaluate", add_run_arguments)
