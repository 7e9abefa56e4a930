"""Say what to do about a damaged dvc.lock, of which DVC says only that its validation failed.

Run: python scripts/sound_lock.py     (make repro, where `dvc repro` failed)
"""

import sys
from pathlib import Path

from stages.common.core.errors import UserError
from tools.audit.dvc_lock import require_sound

if __name__ == "__main__":
    try:
        require_sound(Path())
    except UserError as error:
        sys.exit(f"repro: {error}")
