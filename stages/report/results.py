"""The tables of the report; whoever asks only for their names need not load what makes them."""

from stages.common.data.tables import (
    CLAIMS,
    COMPARISON,
    IMAGE_LEVEL,
    PAPER_AUDIT,
    PATIENTS,
    RANKING,
    RUNS,
    STATISTICS,
    SUBGROUPS,
)

PREDICTORS = COMPARISON.named("predictors.csv")  # of trivial predictors
RESULTS = (COMPARISON, PREDICTORS, IMAGE_LEVEL, STATISTICS, SUBGROUPS, PATIENTS, RANKING, RUNS, CLAIMS, PAPER_AUDIT)
