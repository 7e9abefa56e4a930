"""Exact multilevel thresholding of a histogram by dynamic programming.

A criterion is a sum over classes of a score f(a, b) of the class's interval of levels a..b, so the best split into k
classes that ends at level b is the best split into k - 1 classes that ends at some a, plus f(a + 1, b).

Three programmes find it, each exact:

- Two classes: one pass over the thresholds.
- Few levels: a table of all f(a, b), O(k L^2) in whole-array operations.
- Many levels, Otsu and cross entropy: divide and conquer, O(k L log L). It needs the best cut of an end b never to move
  left as b grows, which follows from f(a, c) + f(b, d) >= f(a, d) + f(b, c) for a <= b <= c <= d (the inverse
  quadrangle inequality): what the levels c + 1 .. d add is smaller for the class that starts further left. It holds:
  both scores are functions of the class's mass m and weight w, m^2 / w and m ln(m / w), and a unit of weight at a
  level x beyond the class, whose mean is mu <= x, adds 2 mu x - mu^2 and x (ln mu + 1) - mu. Both grow with mu up to
  x, and the class that starts further left has the lower mean, before and after every such addition.
- Many levels, Kapur: row by row, O(k L^2) time and O(k L) memory. Entropy breaks the inequality (two heavy levels with
  a spread of light ones between), so divide and conquer would not be exact, and is not used.
"""

import numpy as np

from stages.threshold.params import Criterion

TABLE_LEVELS = 256  # up to here the table's whole-array operations are as fast as divide and conquer


def multilevel_thresholds(histogram: np.ndarray, classes: int, criterion: Criterion = "otsu") -> np.ndarray:
    """Optimal thresholds that split a grey-level histogram into `classes` parts.

    Args:
        histogram: counts per grey level, shape (L,), non-negative; leave out what is no image (padding, background).
        classes: number of parts, >= 2.
        criterion: `otsu` (between-class variance), `cross_entropy` (minimum cross entropy) or `kapur` (entropy).
    Returns:
        int (classes - 1,), increasing; a pixel belongs to part i when t[i-1] < level <= t[i]. Thresholds are occupied
        levels, so that in a run of empty levels the lowest of the equally good ones is returned; of splits that score
        the same, the one with the lower cuts.
    Raises:
        ValueError: fewer occupied levels than classes (a constant image has one), or counts that are none.
    Source: Otsu 1979; Li and Lee 1993; Kapur, Sahoo and Wong 1985; Luessi et al. 2009 for the programmes.
    """
    histogram = np.asarray(histogram, dtype=np.float64)
    if histogram.ndim != 1 or not np.isfinite(histogram).all() or (histogram < 0).any():
        raise ValueError("expected counts of grey levels, found another shape, negative numbers or none at all")
    # Empty levels never move an optimum, so the programme runs over occupied ones only.
    occupied = np.flatnonzero(histogram)
    if classes < 2 or len(occupied) < classes:
        raise ValueError(
            f"expected at least {classes} occupied grey levels for {classes} classes, found {len(occupied)}"
        )
    sums = Sums(histogram[occupied], occupied.astype(np.float64), criterion)
    if classes == 2:
        ends = np.arange(len(occupied) - 1)
        cuts = [int(np.argmax(sums.score(0, ends) + sums.score(ends + 1, len(occupied) - 1)))]
    elif len(occupied) <= TABLE_LEVELS:
        cuts = by_table(sums, classes)
    elif criterion == "kapur":
        cuts = by_rows(sums, classes)
    else:
        cuts = by_division(sums, classes)
    return occupied[cuts]


class Sums:
    """Prefix sums from which the score of any interval follows.

    Counts and levels are whole numbers, so that their sums are exact in float64 up to 2^53: no drift over 65,536
    bins, and the same bits on every machine.

    Args:
        counts: pixels at each occupied level, float64 (n,), above 0.
        levels: those levels, float64 (n,), rising.
        criterion: what `score` measures.
    """

    def __init__(self, counts: np.ndarray, levels: np.ndarray, criterion: Criterion) -> None:
        self.levels, self.criterion = len(counts), criterion
        if criterion == "kapur":
            masses = counts * np.log(counts)
        else:
            # Levels start at 1 for the cross entropy, whose logarithm has no value at a mean of 0.
            masses = counts * (levels + 1 if criterion == "cross_entropy" else levels)
        self.weight = np.concatenate([[0.0], np.cumsum(counts)])
        self.mass = np.concatenate([[0.0], np.cumsum(masses)])

    def score(self, first: np.ndarray | int, last: np.ndarray | int) -> np.ndarray:
        """f(first, last) for arrays of interval ends that broadcast; every interval holds a level."""
        weight = self.weight[np.asarray(last) + 1] - self.weight[first]
        mass = self.mass[np.asarray(last) + 1] - self.mass[first]
        if self.criterion == "otsu":
            scores = mass * mass / weight
        elif self.criterion == "cross_entropy":
            scores = mass * np.log(mass / weight)
        else:
            scores = np.log(weight) - mass / weight
        return np.asarray(scores)


def by_table(sums: Sums, classes: int) -> list[int]:
    """All intervals at once; the last cut is looked for at the last level only."""
    last = np.arange(sums.levels)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = sums.score(last[:, None], last[None, :])  # where the first level lies above the last: no number
    score[np.tri(sums.levels, k=-1, dtype=bool)] = -np.inf
    best, cuts = score[0], []
    for _ in range(classes - 2):
        # candidate[a, b]: the earlier classes end at a, the last covers a + 1 .. b
        candidate = best[:-1, None] + score[1:, :]
        cut = candidate.argmax(axis=0)
        best = candidate[cut, last]
        cuts.append(cut)
    end = int((best[:-1] + score[1:, -1]).argmax())
    return [*walk_back(cuts, end), end]


def by_rows(sums: Sums, classes: int) -> list[int]:
    """One end b after the other: no table, every score once for all numbers of classes."""
    best = np.full((classes, sums.levels), -np.inf)
    cuts = np.zeros((classes - 1, sums.levels), dtype=np.int64)
    best[0] = sums.score(0, np.arange(sums.levels))
    for b in range(1, sums.levels):
        candidate = best[:-1, :b] + sums.score(np.arange(1, b + 1), b)
        cuts[:, b] = candidate.argmax(axis=1)
        best[1:, b] = candidate[np.arange(classes - 1), cuts[:, b]]
    return walk_back(list(cuts), sums.levels - 1)


def by_division(sums: Sums, classes: int) -> list[int]:
    """The best cut of the middle end bounds those of the ends on its two sides; a whole depth is done at once."""
    best, cuts = sums.score(0, np.arange(sums.levels)), []
    for done in range(1, classes):
        best, cut = layer(sums, best, done)
        cuts.append(cut)
    return walk_back(cuts, sums.levels - 1)


def layer(sums: Sums, before: np.ndarray, done: int) -> tuple[np.ndarray, np.ndarray]:
    """From the best scores of `done` classes that end at a to those of one class more that end at b, and their cuts.

    Args:
        before: float64 (n,), by the end a.
        done: classes so far.
    Returns:
        scores float64 (n,) and cuts int64 (n,), by the end b.
    """
    best, cut = np.full(sums.levels, -np.inf), np.zeros(sums.levels, dtype=np.int64)
    # Ranges of ends [low, high] with cuts known to lie in [left, right]; `done` classes need as many levels.
    low, high = np.array([done]), np.array([sums.levels - 1])
    left, right = np.array([done - 1]), np.array([sums.levels - 2])
    while len(low):
        middle = (low + high) // 2
        stop = np.minimum(right, middle - 1)
        sizes = stop - left + 1
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        a = np.arange(sizes.sum()) - np.repeat(starts - left, sizes)
        values = before[a] + sums.score(a + 1, np.repeat(middle, sizes))
        top = np.maximum.reduceat(values, starts)
        # The first of equal values, as argmax takes it.
        hits = np.flatnonzero(values == np.repeat(top, sizes))
        chosen = a[hits[np.searchsorted(hits, starts)]]
        best[middle], cut[middle] = top, chosen
        down, up = low < middle, middle < high
        low, high, left, right = (
            np.concatenate([low[down], middle[up] + 1]),
            np.concatenate([middle[down] - 1, high[up]]),
            np.concatenate([left[down], chosen[up]]),
            np.concatenate([chosen[down], right[up]]),
        )
    return best, cut


def walk_back(cuts: list[np.ndarray], end: int) -> list[int]:
    """The cuts of the best split of the levels up to `end`, in rising order.

    Args:
        cuts: of each layer, int64 (n,) by the end.
    """
    path = []
    for cut in reversed(cuts):
        end = int(cut[end])
        path.append(end)
    return path[::-1]


def objective(histogram: np.ndarray, thresholds: np.ndarray, criterion: Criterion = "otsu") -> float:
    """What a split is worth, in the units of its paper, whoever found it.

    Returns:
        Otsu: between-class variance in grey levels squared (higher is better). Kapur: the sum of the classes'
        entropies in nats (higher). Cross entropy: Li and Lee's, in grey levels times nats a pixel, over levels
        counted from 1 (lower is better).
    """
    histogram = np.asarray(histogram, dtype=np.float64)
    occupied = np.flatnonzero(histogram)
    counts, levels = histogram[occupied], occupied.astype(np.float64)
    sums = Sums(counts, levels, criterion)
    ends = np.searchsorted(occupied, thresholds, side="right") - 1
    first, last = np.concatenate([[0], ends + 1]), np.concatenate([ends, [len(occupied) - 1]])
    held = first <= last  # a class without a level adds nothing
    total = float(sums.score(first[held], last[held]).sum())
    if criterion == "kapur":
        return total
    if criterion == "otsu":
        return total / float(counts.sum()) - float(counts @ levels / counts.sum()) ** 2
    return (float(counts @ ((levels + 1) * np.log(levels + 1))) - total) / float(counts.sum())


def split_levels(image: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The class of every pixel, 0 for the darkest; a level at a threshold falls below it.

    Args:
        image: uint8 or uint16 (H, W).
        thresholds: rising levels.
    Returns:
        uint8 (H, W).
    """
    return np.searchsorted(thresholds, image, side="left").astype(np.uint8)
