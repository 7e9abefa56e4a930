"""Films, and what people do to a film before they store it again."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageEnhance

from stages.ingest.params import Sample
from stages.ingest.sources.sample import SampleFilm, draw


def recompressed(image: Image.Image) -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


def cropped(image: Image.Image, share: float) -> Image.Image:
    x, y = round(image.width * share / 2), round(image.height * share / 2)
    return image.crop((x, y, image.width - x, image.height - y))


# The table of docs/explanation/ingest.md: what is done to a film, and whether the copy is caught.
COPIES = {
    "recompressed as JPEG, quality 40": (recompressed, True),
    "half the size": (lambda image: image.resize((image.width // 2, image.height // 2)), True),
    "mirrored": (lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), True),
    "upside down": (lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM), True),
    "turned by 90 degrees": (lambda image: image.transpose(Image.Transpose.ROTATE_90), True),
    "inverted": (lambda image: Image.fromarray(255 - np.asarray(image)), True),
    "brightness x 0.7": (lambda image: ImageEnhance.Brightness(image).enhance(0.7), True),
    "gamma 0.8": (lambda image: image.point([round(255 * (v / 255) ** 0.8) for v in range(256)]), True),
    "cropped by 5 %": (lambda image: cropped(image, 0.05), False),
    "turned by 3 degrees": (lambda image: image.rotate(3), False),
}


def films(number: int) -> list[Image.Image]:
    """The first films of the sample's Kaggle half."""
    settings = Sample(seed=3, films=16, width=256)
    drawn = [draw(SampleFilm(n, n, "kaggle", "CR"), settings).density for n in range(number)]
    return [Image.fromarray(np.round(density * 255).astype(np.uint8)) for density in drawn]
