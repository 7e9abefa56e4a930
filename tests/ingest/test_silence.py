import os
from threading import Barrier, Thread

import pytest

from stages.ingest.silence import NO_STDERR


def test_codecs_are_silent_inside_and_everyone_is_heard_again_outside(capfd: pytest.CaptureFixture[str]) -> None:
    """Threads enter and leave in any order, as films of `wrist predict` do."""
    barrier = Barrier(2)

    def first() -> None:
        with NO_STDERR:
            barrier.wait()  # both are inside
            os.write(2, b"a codec's complaint")
        barrier.wait()  # this one has left, the other has not

    def second() -> None:
        with NO_STDERR:
            barrier.wait()
            barrier.wait()
            os.write(2, b"another one's")

    threads = [Thread(target=first), Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"
