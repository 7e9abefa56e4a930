"""The report has no knobs of its own."""

from stages.common.params import Strict


class Params(Strict):
    pass
