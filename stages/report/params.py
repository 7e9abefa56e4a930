"""The report has no knobs of its own, and so params.yaml has no section for it."""

from stages.common.params import Strict


class Params(Strict):
    pass
