"""What colours over a film mean, in one place for pictures, their legends and the viewer.

What the network marked is yellow, what was labelled is blue, and both is green: told apart with any colour vision, also
as a fill through which film of any grey is seen.
"""

FOUND, MARKED, MISSED = (0, 140, 60), (255, 220, 0), (170, 0, 255)  # marked and labelled, marked only, labelled only
LABELLED, PROBABLE = (0, 230, 255), (213, 94, 0)
FILL = 0.55  # share of its colour in what is seen of a fill; the film has the rest
# As the pages' style and the viewer call them.
NAMES = {"found": FOUND, "marked": MARKED, "missed": MISSED, "labelled": LABELLED, "probable": PROBABLE}
