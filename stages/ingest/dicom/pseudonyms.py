"""Names that only the holder of a secret key can lead back: HMAC-SHA256 of patients, UIDs and days."""

import hashlib
import hmac
import os
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from stages.common.core.errors import UserError

FILE_VARIABLE, VALUE_VARIABLE = "PSEUDONYM_KEY_FILE", "PSEUDONYM_KEY"
MOST_DAYS = 3650
PSEUDONYM = "[0-9a-f]{16}"  # the form of what `Key.name` makes
KEY_ID = "[0-9a-f]{8}"  # that of `Key.id`
MAKE = "make one with `head -c 32 /dev/urandom > FILE`, keep it safe, and export the variable"


@dataclass(frozen=True)
class Key:
    """A site's secret. It is not shown when printed."""

    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.id})"

    @property
    def id(self) -> str:
        """Eight hex digits that tell two keys apart and say nothing else of a key of 32 random bytes."""
        return hashlib.sha256(b"key id\0" + self.secret).hexdigest()[:8]

    def name(self, kind: str, value: str) -> str:
        """A pseudonym of 16 hex digits: the same for the same value, kind and key."""
        return self._digest(kind, value).hex()[:16]

    def uid(self, value: str) -> str:
        """A DICOM UID in place of another, from the root 2.25 (PS3.5 B.2), at most 44 characters."""
        return f"2.25.{int.from_bytes(self._digest('uid', value)[:16], 'big')}"

    def shifted(self, patient: str, day: str) -> str:
        """A DICOM date (YYYYMMDD) 1 to 3650 days earlier, the same shift for all dates of a patient; '' if no date."""
        shift = 1 + int.from_bytes(self._digest("days", patient)[:8], "big") % MOST_DAYS
        try:
            return (date.fromisoformat(day.strip()) - timedelta(days=shift)).strftime("%Y%m%d")
        except (ValueError, OverflowError):
            return ""

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.new(self.secret, f"{kind}\0{value.strip()}".encode(), hashlib.sha256).digest()


# Patients of public data sets are public; a fixed key only gives their names the shape of the others.
PUBLIC = Key(b"public data set")
SAMPLE = Key(b"the embedded sample has no patients to protect")


def read_key(root: Path = Path()) -> Key:
    """The site's key: what the file that PSEUDONYM_KEY_FILE names holds, or the value of PSEUDONYM_KEY.

    Raises:
        UserError: neither is there, the file lies in the project, the key is short enough to be guessed, or it would
            travel to a cluster in clear.
    """
    cluster = os.environ.get("DASK_SCHEDULER_ADDRESS", "")
    if cluster and not cluster.startswith("tls://"):
        raise UserError(
            "DASK_SCHEDULER_ADDRESS: expected a tls:// address for hospital films, whose key goes to the workers, "
            "found another; unset the variable for ingest, or secure the cluster"
        )
    path, value = os.environ.get(FILE_VARIABLE, ""), os.environ.get(VALUE_VARIABLE, "")
    if path:
        file = Path(path)
        if not file.is_file():
            raise UserError(f"{FILE_VARIABLE}: expected the path of a secret key, found no file there; {MAKE}")
        if file.resolve().is_relative_to(root.resolve()):
            raise UserError(f"{FILE_VARIABLE}: expected a file outside the project, found one in it; move it elsewhere")
        secret = file.read_bytes()
    elif value:
        secret = value.encode()
    else:
        raise UserError(
            f"{FILE_VARIABLE}: expected the path of a secret key outside the project (or the key in "
            f"{VALUE_VARIABLE}), found neither; {MAKE}"
        )
    if len(secret) < 32:
        raise UserError(f"{FILE_VARIABLE}: expected at least 32 random bytes, found {len(secret)}; make a longer key")
    return Key(secret)
