"""Synthetic wrist radiographs and CT slices by an X-ray model, with the boxes of their fractures.

Bones are outlines in millimetres, inflated to solids; a film is the Beer-Lambert projection of soft tissue, trabecular
and cortical bone along the beam: log-intensity = -sum(mu_i * path_i), with quantum noise, detector blur, collimation
and a lead side marker. Anatomy and attenuation are plausible, not measured: the films train code, not radiologists,
and scores on them say nothing about patients.

Axes of the hand in millimetres: x towards the thumb, y towards the elbow, the radiocarpal joint at the origin.
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

# Linear attenuation in 1/mm at about 60 kVp, rounded to what gives wrist-like contrast.
MU_SOFT, MU_CORTICAL, MU_TRABECULAR, MU_LEAD = 0.018, 0.085, 0.022, 3.0
CORTEX_MM = {"long": 1.7, "short": 0.8}
Points = list[tuple[float, float]]
Ray = tuple[tuple[float, float], tuple[float, float], tuple[float, float, float]]

RADIUS: Points = [
    *[(1.5, 150), (12.5, 150), (12.5, 60), (13.5, 36), (16.5, 20), (19, 7), (18.8, -3), (15.5, -7)],
    *[(10, -2.5), (3, 1.5), (-4, 2.5), (-7, 4), (-7, 9), (-3.5, 19), (0.5, 34), (1.5, 60)],
]
ULNA: Points = [
    *[(-20.5, 150), (-12, 150), (-12, 60), (-11.5, 30), (-10, 15), (-9.2, 9), (-11, 5.5), (-16, 5.5)],
    *[(-18.8, 1.2), (-20.6, 2), (-20.6, 9), (-19, 18), (-19, 30), (-20, 60)],
]
CARPALS: dict[str, Points] = {
    "scaphoid": [(4, -5), (10, -6), (16, -10.5), (19.5, -17), (16.5, -19.5), (11.5, -15.5), (6, -13), (3.5, -9)],
    "lunate": [(-7.5, -3), (-2, -2), (2.8, -5), (2, -10.5), (-2.5, -11), (-8, -10)],
    "triquetrum": [(-17, -5), (-10.5, -5.5), (-9.5, -11.5), (-13.5, -15.5), (-19, -12)],
    "pisiform": [(-18, -7), (-14, -6), (-12.5, -10), (-15.5, -13), (-19, -11)],
    "trapezium": [(17.5, -20), (23, -21), (25, -27), (18.5, -29.5), (14.5, -24.5)],
    "trapezoid": [(9.5, -20), (14, -22), (15.5, -29), (9.5, -31), (7.5, -26)],
    "capitate": [(-3.5, -13), (2, -12.5), (6, -17.5), (6.5, -30), (-3, -31), (-5, -21)],
    "hamate": [(-14, -17), (-7, -13.5), (-5.5, -21), (-4.5, -30), (-14, -30), (-16, -23)],
}
# base, head, half-widths of base, shaft and head
METACARPALS: list[Ray] = [
    ((12, -32.5), (17, -91), (6.5, 4.0, 6.5)),
    ((1.5, -33), (2, -93), (6.2, 4.0, 6.5)),
    ((-7, -32), (-11, -86), (5.2, 3.4, 5.8)),
    ((-14, -31), (-22.5, -78), (5.2, 3.3, 5.5)),
    ((24.5, -29), (43, -60), (6.3, 4.6, 6.0)),
]
PHALANGES: list[Ray] = [
    ((17.5, -95.5), (21, -135), (6.2, 4.2, 5.0)),
    ((2, -97.5), (1, -142), (6.4, 4.3, 5.2)),
    ((-11.5, -90.5), (-15.5, -131), (5.8, 3.9, 4.8)),
    ((-23.5, -82), (-31, -114), (5.2, 3.4, 4.2)),
    ((45, -64), (55, -90), (5.8, 4.2, 5.0)),
]
ARM: Points = [
    *[(-33, 150), (28, 150), (26, 60), (24, 15), (25, -8), (31, -25), (31, -60), (30, -100)],
    *[(-33, -95), (-32, -60), (-27, -20), (-26, 10), (-28, 40)],
]


@dataclass(frozen=True)
class Fracture:
    """One break: where it runs through the bone and how the fragment moved; lengths in mm, angles in degrees."""

    bone: str
    centre: tuple[float, float]
    tilt: float
    step: float
    angulation: float
    gap: float
    visibility: float


@dataclass(frozen=True)
class PhantomFilm:
    """A synthetic film before it is written in a source's format."""

    density: np.ndarray  # float32 (H, W) in 0..1, bone bright, or HU for CT
    boxes: np.ndarray  # float64 (n, 4) left, top, right, bottom in pixels
    spacing_mm: float
    side: str  # L or R


@dataclass
class Body:
    """Path lengths through each tissue, in mm, as float32 (H, W)."""

    cortical: np.ndarray
    trabecular: np.ndarray
    soft: np.ndarray
    marks: list[np.ndarray] = field(default_factory=list)  # (m, 2) pixel positions on each break


def draw_fractures(rng: np.random.Generator) -> list[Fracture]:
    """One to two breaks of a patient: distal radius most often, then distal ulna and scaphoid."""
    kinds = [["radius"], ["ulna"], ["scaphoid"], ["radius", "ulna"]]
    bones = kinds[rng.choice(4, p=[0.52, 0.1, 0.1, 0.28])]
    return [draw_fracture(bone, rng) for bone in bones]


def draw_fracture(bone: str, rng: np.random.Generator) -> Fracture:
    """A break of `bone`; the scaphoid breaks at its waist and hardly moves."""
    spot = {"radius": (6.0, rng.uniform(12, 26)), "ulna": (-15.0, rng.uniform(12, 24)), "scaphoid": (12.3, -8.0)}
    calm = 0.35 if bone == "scaphoid" else 1.0
    return Fracture(
        bone=bone,
        centre=spot[bone],
        tilt=float(rng.normal(0, 12)) + (-38 if bone == "scaphoid" else 0),
        step=float(rng.normal(0, 2.2)) * calm,
        angulation=float(rng.normal(0, 7)) * calm,
        gap=float(rng.uniform(0.7, 1.5)),
        visibility=float(rng.uniform(0.5, 1.0)),
    )


def radiograph(
    anatomy: np.random.Generator, pose: np.random.Generator, fractures: list[Fracture], width: int
) -> PhantomFilm:
    """One projection film: PA to slightly oblique, either side, any exposure and collimation.

    Args:
        anatomy: draws what belongs to the patient (size, proportions, side).
        pose: draws what belongs to the film (rotation, field, exposure, noise).
        fractures: the patient's breaks; may be empty.
        width: columns of the film in pixels; its height follows from the field.
    """
    size, slender, right = anatomy.uniform(0.78, 1.08), anatomy.uniform(0.9, 1.1), bool(anatomy.random() < 0.5)
    field_mm = pose.uniform(78, 125), pose.uniform(105, 165)
    spacing = field_mm[0] / width
    shape = (round(field_mm[1] / spacing), width)
    centre = np.array([pose.normal(0, 6), pose.normal(0, 10)])
    angle = np.deg2rad(pose.normal(0, 9) + (180 if pose.random() < 0.12 else 0))
    oblique = pose.uniform(0.84, 1.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.diag([size * slender * oblique * (-1 if right else 1), size])
    matrix = turn @ scale / spacing
    origin = np.array([shape[1] / 2, shape[0] * 0.48]) + matrix @ centre

    body = build(matrix, origin, shape, size / spacing, fractures, anatomy, pose)
    path = MU_SOFT * body.soft + MU_CORTICAL * body.cortical + MU_TRABECULAR * body.trabecular
    side = "R" if right else "L"
    boxes = mark_boxes(body.marks, 4.0 * size / spacing, shape)
    frame = collimate(path.shape, boxes, pose)
    path = np.maximum(path, marker(shape, frame, side, spacing, pose) * MU_LEAD)
    return PhantomFilm(expose(path, frame, spacing, pose), boxes, spacing, side)


def build(
    matrix: np.ndarray,
    origin: np.ndarray,
    shape: tuple[int, int],
    pixels_per_mm: float,
    fractures: list[Fracture],
    anatomy: np.random.Generator,
    pose: np.random.Generator,
) -> Body:
    """Project every bone and the soft tissue of one hand onto the grid.

    Args:
        matrix, origin: the map from mm to pixels, float (2, 2) and (2,).
        shape: height and width of the grid.
        pixels_per_mm: of the hand, its size included.
        fractures: that the hand has.
        anatomy: draws the bones' outlines.
        pose: draws the texture of the bones and the jags of the breaks.
    """
    wobble = 0.4

    def outline(points: Points) -> np.ndarray:
        jittered = np.array(points) + anatomy.normal(0, wobble, (len(points), 2))
        return np.asarray(smooth(jittered) @ matrix.T + origin)

    long_bones = METACARPALS + PHALANGES
    bones: list[tuple[str, np.ndarray, str]] = [("radius", outline(RADIUS), "long"), ("ulna", outline(ULNA), "long")]
    bones += [(name, outline(crowd(points)), "short") for name, points in CARPALS.items()]
    bones += [("hand", outline(dumb_bell(a, b, w)), "long") for a, b, w in long_bones]

    body = Body(np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    texture = trabeculae(shape, pixels_per_mm, pose)
    # A stream of its own, so that the same hand with and without a break differs by the break alone.
    jag = np.random.default_rng(pose.integers(2**63))
    for name, points, kind in bones:
        cortical, trabecular = inflate_bone(points, shape, pixels_per_mm, CORTEX_MM[kind])
        for fracture in (f for f in fractures if f.bone == name):
            cortical, trabecular, marks = break_bone(cortical, trabecular, fracture, matrix, origin, pixels_per_mm, jag)
            body.marks.append(marks)
        body.cortical += cortical
        body.trabecular += trabecular * texture
    body.soft = soft_tissue(outline(ARM), long_bones, matrix, origin, shape, pixels_per_mm)
    return body


def crowd(points: Points) -> Points:
    """Carpals as drawn, grown and moved so that only a joint space of some 2 mm stays between them and the radius."""
    return [(1.12 * x, 1.1 * (y + 32) - 30) for x, y in points]


def smooth(points: np.ndarray, samples: int = 12) -> np.ndarray:
    """A closed spline through control points (n, 2), parametrised by chord length so that it does not overshoot."""
    closed = np.vstack([points, points[:1]])
    chord = np.concatenate([[0], np.cumsum(np.sqrt(np.linalg.norm(np.diff(closed, axis=0), axis=1)))])
    spline = CubicSpline(chord, closed, bc_type="periodic")
    return np.asarray(spline(np.linspace(0, chord[-1], samples * len(points), endpoint=False)))


def dumb_bell(base: tuple[float, float], head: tuple[float, float], widths: tuple[float, float, float]) -> Points:
    """The outline of a short tubular bone: wide base, narrow shaft, round head."""
    start, stop = np.array(base), np.array(head)
    axis = (stop - start) / np.linalg.norm(stop - start)
    across = np.array([-axis[1], axis[0]])
    length = np.linalg.norm(stop - start)
    stations = [(0.0, 0.75, 0), (0.08, 1, 0), (0.28, 1.05, 1), (0.6, 1, 1), (0.82, 0.95, 2), (0.93, 1, 2), (1, 0.6, 2)]
    left = [start + axis * length * along + across * share * widths[i] for along, share, i in stations]
    right = [start + axis * length * along - across * share * widths[i] for along, share, i in stations]
    return [(float(x), float(y)) for x, y in left + right[::-1]]


def polygon_depth(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Distance in pixels of every pixel inside a polygon to its border, 0 outside; float32 (H, W)."""
    inside = np.zeros(shape, np.uint8)
    cv2.fillPoly(inside, [np.round(points * 16).astype(np.int32)], 1, shift=4)
    # A bone that leaves the film has no border there, so the film is padded by replication first.
    pad = 40
    padded = cv2.copyMakeBorder(inside, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    return cv2.distanceTransform(padded, cv2.DIST_L2, 5)[pad:-pad, pad:-pad]


def inflate(depth: np.ndarray, radius: float) -> np.ndarray:
    """Thickness of a rounded solid `depth` pixels inside its outline: a circle's chord near the rim, flat inside.

    Args:
        depth: pixels, float32 (H, W).
        radius: pixels.
    Returns:
        pixels, float32 (H, W).
    """
    near = np.minimum(depth, radius)
    chord: np.ndarray = 2 * np.sqrt(np.maximum(near * (2 * radius - near), 0))
    return chord.astype(np.float32)


def inflate_bone(
    points: np.ndarray, shape: tuple[int, int], pixels_per_mm: float, cortex_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Paths in mm through the cortical shell and the trabecular core of one bone, float32 (H, W) each.

    Args:
        points: its outline in pixels, (n, 2) of x, y.
        shape: height and width.
        pixels_per_mm: of the hand.
        cortex_mm: thickness of the shell.
    """
    depth = polygon_depth(points, shape)
    radius = max(float(depth.max()), 1.0)
    outer = inflate(depth, radius)
    inner = inflate(np.maximum(depth - cortex_mm * pixels_per_mm, 0), max(radius - cortex_mm * pixels_per_mm, 1.0))
    core: np.ndarray = np.minimum(inner, outer) / pixels_per_mm
    return outer / pixels_per_mm - core, core


def trabeculae(shape: tuple[int, int], pixels_per_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Multiplicative texture of trabecular bone: fine struts over slow mottling; float32 (H, W), mean about 1."""
    fine = cv2.GaussianBlur(
        rng.standard_normal(shape).astype(np.float32), (0, 0), 0.25 * pixels_per_mm, None, 0.7 * pixels_per_mm
    )
    slow = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), 3.0 * pixels_per_mm)
    texture = 1 + 0.2 * fine / fine.std() + 0.15 * slow / slow.std()
    return np.asarray(np.maximum(texture, 0.1), dtype=np.float32)


def break_bone(
    cortical: np.ndarray,
    trabecular: np.ndarray,
    fracture: Fracture,
    matrix: np.ndarray,
    origin: np.ndarray,
    pixels_per_mm: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Break one bone along a jagged line and move the far fragment.

    Args:
        cortical, trabecular: paths through the bone in mm, float32 (H, W).
        fracture: where and how it breaks.
        matrix, origin: the map from mm to pixels, float (2, 2) and (2,).
        pixels_per_mm: of the hand.
        rng: draws the jags.
    Returns:
        The paths of the broken bone, and the pixels of the line inside it, (m, 2) of x, y.
    """
    centre = matrix @ np.array(fracture.centre) + origin
    tilt = np.deg2rad(fracture.tilt)
    across: np.ndarray = matrix @ np.array([np.cos(tilt), np.sin(tilt)])
    across = across / np.linalg.norm(across)
    distal: np.ndarray = matrix @ np.array([np.sin(tilt), -np.cos(tilt)])
    distal = distal - across * (distal @ across)
    distal = distal / np.linalg.norm(distal)

    rows, columns = pixel_grid(cortical.shape)
    along = (columns - centre[0]) * across[0] + (rows - centre[1]) * across[1]
    knots = np.arange(-40, 41, 2.5) * pixels_per_mm
    jag: np.ndarray = np.interp(along, knots, rng.normal(0, 0.8 * pixels_per_mm, len(knots))).astype(np.float32)
    beyond = (columns - centre[0]) * distal[0] + (rows - centre[1]) * distal[1] - jag

    far = (beyond > 0).astype(np.float32)
    move = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), fracture.angulation, 1.0)
    move[:, 2] = move[:, 2] + across * fracture.step * pixels_per_mm
    size = cortical.shape[1], cortical.shape[0]
    # The line's half-width in pixels; below half a pixel it would vanish between samples.
    half = max(fracture.gap * pixels_per_mm / 2, 0.5)
    lucent: np.ndarray = 1 - fracture.visibility * np.exp(-((beyond / half) ** 2))
    whole = cortical + trabecular

    def displace(part: np.ndarray) -> np.ndarray:
        whole_again = part * (1 - far) + cv2.warpAffine(part * far, move, size)
        return np.asarray(lucent * whole_again, dtype=np.float32)

    on_line = (np.abs(beyond) < 0.6) & (whole > 0.5)
    return displace(cortical), displace(trabecular), np.stack([columns[on_line], rows[on_line]], axis=1)


def pixel_grid(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The row and the column of every pixel, each float32 (H, W)."""
    grid: np.ndarray = np.indices(shape, dtype=np.float32)
    return grid[0], grid[1]


def soft_tissue(
    arm: np.ndarray,
    long_bones: list[Ray],
    matrix: np.ndarray,
    origin: np.ndarray,
    shape: tuple[int, int],
    scale: float,
) -> np.ndarray:
    """Path through skin, fat and muscle in mm: the arm's outline with a finger round every ray; float32 (H, W).

    Args:
        arm: its outline in pixels, (n, 2) of x, y.
        long_bones: the rays of the hand, in mm.
        matrix, origin: the map from mm to pixels, float (2, 2) and (2,).
        shape: height and width.
        scale: pixels in a mm.
    """
    inside = np.zeros(shape, np.uint8)
    cv2.fillPoly(inside, [np.round(arm * 16).astype(np.int32)], 1, shift=4)
    for start, stop, widths in long_bones:
        ends = [np.round((matrix @ np.array(end) + origin) * 16).astype(int).tolist() for end in (start, stop)]
        cv2.line(inside, ends[0], ends[1], 1, max(1, round(3.6 * widths[2] * scale)), shift=4)
    pad = 60
    padded = cv2.copyMakeBorder(inside, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[pad:-pad, pad:-pad]
    thickness = inflate(depth, 20 * scale) / scale
    return cv2.GaussianBlur(thickness, (0, 0), 0.8 * scale)


def mark_boxes(marks: list[np.ndarray], margin: float, shape: tuple[int, int]) -> np.ndarray:
    """The bounding box of each break with a margin in pixels, cut to the film; breaks outside the film have none.

    Args:
        marks: the pixels of each break, (m, 2) of x, y.
    Returns:
        float64 (n, 4) of left, top, right, bottom.
    """
    boxes = []
    for points in marks:
        if len(points) < 4:
            continue
        left, top = points.min(axis=0) - margin
        right, bottom = points.max(axis=0) + 1 + margin
        boxes.append([max(left, 0), max(top, 0), min(right, shape[1]), min(bottom, shape[0])])
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def collimate(shape: tuple[int, ...], boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The exposed field: a rotated rectangle with soft borders that never hides a fracture.

    Returns:
        float32 (H, W), 1 inside, 0 outside.
    """
    height, width = shape
    angle = np.deg2rad(rng.normal(0, 4) if rng.random() < 0.6 else 0.0)
    half = np.array([rng.uniform(0.40, 0.56) * width, rng.uniform(0.43, 0.56) * height])
    rows, columns = pixel_grid(shape)
    x, y = columns - width / 2, rows - height / 2
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    for left, top, right, bottom in boxes:
        corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]]) - [width / 2, height / 2]
        turned = corners @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        half = np.maximum(half, np.abs(turned).max(axis=0) + 6)
    edge = np.minimum(half[0] - np.abs(u), half[1] - np.abs(v))
    return np.asarray(1 / (1 + np.exp(-edge / 1.2)), dtype=np.float32)


def marker(
    shape: tuple[int, int], frame: np.ndarray, side: str, spacing: float, rng: np.random.Generator
) -> np.ndarray:
    """A lead letter in a corner of the exposed field; float32 (H, W), 1 where lead is.

    Args:
        shape: height and width.
        frame: the exposed field, float32 (H, W), 1 inside.
        side: the letter, L or R.
        spacing: mm of a pixel.
        rng: draws its size and corner.
    """
    letter = np.zeros(shape, np.uint8)
    height_px = rng.uniform(7, 11) / spacing
    scale, thick = height_px / 21, max(2, round(height_px / 7))
    inside = np.argwhere(frame > 0.9)
    (top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0)
    x = left + 0.06 * (right - left) if rng.random() < 0.5 else right - 0.06 * (right - left) - height_px
    y = top + rng.uniform(0.15, 0.9) * (bottom - top)
    cv2.putText(letter, side, (int(x), int(y)), cv2.FONT_HERSHEY_SIMPLEX, scale, 1, thick, cv2.LINE_AA)
    return letter.astype(np.float32)


def expose(path: np.ndarray, frame: np.ndarray, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Detector signal to display density: scatter, quantum noise, blur, then a logarithmic curve.

    Args:
        path: attenuation along each ray, float32 (H, W).
        frame: the exposed field, float32 (H, W), 1 inside.
        spacing: mm of a pixel.
        rng: draws exposure and noise.
    Returns:
        float32 (H, W) in 0..1, bone bright.
    """
    photons = rng.uniform(900, 4000)
    primary = np.exp(-path)
    scatter = 0.03 * cv2.GaussianBlur(primary, (0, 0), 12 / spacing)
    heel = 1 + rng.normal(0, 0.06) * np.linspace(-1, 1, path.shape[1], dtype=np.float32)
    signal = cv2.GaussianBlur((primary + scatter) * heel, (0, 0), 0.12 / spacing)
    counts = rng.normal(signal * photons, np.sqrt(np.maximum(signal * photons, 1)))
    density = -np.log(np.maximum(counts, 1) / photons)
    base, contrast = rng.uniform(0.02, 0.1), rng.uniform(0.30, 0.42)
    shown = np.clip(base + contrast * np.maximum(density + 0.06, 0), 0, 1) ** rng.uniform(0.8, 1.1)
    return np.asarray(shown * frame, dtype=np.float32)


def ct_slice(
    anatomy: np.random.Generator, pose: np.random.Generator, fractures: list[Fracture], width: int
) -> PhantomFilm:
    """One axial CT slice through the distal forearm in Hounsfield units: radius and ulna as cortical rings.

    A break is a lucent crack through the ring; `step` moves the fragment. Breaks of the scaphoid lie on other slices.

    Args:
        anatomy: draws the bones.
        pose: draws position, texture and noise.
        fractures: of the patient.
        width: pixels of the square slice.
    """
    spacing = 90 / width
    shape = (width, width)
    size, right = anatomy.uniform(0.8, 1.05), bool(anatomy.random() < 0.5)
    mirror = -1 if right else 1
    scale = size / spacing
    centre = np.array([width / 2, width / 2]) + pose.normal(0, 3, 2) / spacing
    angle = pose.normal(0, 12)

    def on_slice(x: float, y: float) -> np.ndarray:
        turn = np.deg2rad(angle)
        offset = np.array([x * mirror * np.cos(turn) - y * np.sin(turn), x * mirror * np.sin(turn) + y * np.cos(turn)])
        return np.asarray(centre + offset * scale)

    image = np.full(shape, -1000.0, np.float32)
    ellipse(image, centre, (29, 21), angle, 50.0, scale)
    ellipse(image, centre, (27.5, 19.5), angle, 55.0, scale)
    bones = {"radius": (on_slice(9, 0), (12.5, 9.5)), "ulna": (on_slice(-15, 2), (6.5, 6.5))}
    marks = []
    grain = trabeculae(shape, scale, pose)
    for name, (middle, half) in bones.items():
        ring, core = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        ellipse(ring, middle, half, angle, 1.0, scale)
        ellipse(core, middle, (half[0] - 1.9, half[1] - 1.9), angle, 1.0, scale)
        bone = np.where(core > 0, 260 * grain, 1250 * ring)
        for fracture in (f for f in fractures if f.bone == name):
            local = np.array([[scale, 0], [0, scale]])
            # Slices average over their thickness, so only a crack that is wide on the slice is seen at all.
            crack = replace(
                fracture,
                centre=(0, 0),
                tilt=90 + 3 * fracture.tilt,
                step=fracture.step * 0.6,
                angulation=fracture.angulation / 2,
                gap=fracture.gap + 1.6,
                visibility=min(1.0, fracture.visibility + 0.3),
            )
            bone, _, points = break_bone(bone.astype(np.float32), ring * 0, crack, local, middle, scale, pose)
            marks.append(points)
        image = np.where(bone > 20, bone, image).astype(np.float32)
    noisy = cv2.GaussianBlur(image, (0, 0), 0.35 * scale) + pose.normal(0, 22, shape)
    return PhantomFilm(noisy.astype(np.float32), mark_boxes(marks, 3.0 * scale, shape), spacing, "R" if right else "L")


def ellipse(
    image: np.ndarray, centre: np.ndarray, half_mm: tuple[float, float], angle: float, value: float, scale: float
) -> None:
    """Fill an ellipse in an image, which changes.

    Args:
        image: float32 (H, W).
        centre: pixels, x, y.
        half_mm: half-axes in mm.
        angle: degrees.
        value: what it is filled with.
        scale: pixels in a mm.
    """
    axes = (round(half_mm[0] * scale * 16), round(half_mm[1] * scale * 16))
    spot = (round(float(centre[0]) * 16), round(float(centre[1]) * 16))
    cv2.ellipse(image, spot, axes, angle, 0, 360, value, -1, shift=4)
