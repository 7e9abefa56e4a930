"""Refuse what `dvc repro` would wait for, or end at without a sentence: a damaged dvc.lock, an inbox it cannot hash.

Run: python scripts/before_repro.py     (make repro)
"""

import sys

from stages.common.core.errors import UserError
from tools.doctor.before_repro import require_ready

if __name__ == "__main__":
    try:
        require_ready()
    except UserError as error:
        sys.exit(f"repro: {error}")
