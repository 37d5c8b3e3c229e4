"""The built-in sample: drawings of waste on a table, in TrashNet's layout, faults included.

Every photo depends on `SAMPLE_SEED`, its class and its number alone. Only
exactly rounded arithmetic is used on arrays, so that the bytes are the same on
every processor under the pinned packages.
"""

import math
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from trashnet.files import ZIP_EPOCH, atomic_file

SAMPLE_SEED = 2016
WIDTH, HEIGHT = 512, 384
OBJECT_SIZE = 300
"""Side of the square, in pixels, that a thing is drawn on before it is turned and placed."""
PHOTOS = {"cardboard": 44, "glass": 46, "metal": 44, "paper": 50, "plastic": 46, "trash": 40}
"""Good photos a class; as in TrashNet, paper is the most frequent and trash the rarest."""

Colour = tuple[int, int, int]
Point = tuple[float, float]


def write_sample_archive(path: Path) -> None:
    """Write the sample as an uncompressed zip, ``dataset-resized/<class>/<class>N.jpg``.

    Beside the good photos it holds what `prepare` must find: a truncated JPEG,
    a text file named .jpg, one photo in two classes, one twice in its class,
    and three near-duplicates; and two that it must read: one without colour
    and one that its EXIF turns upright.
    """
    files = {
        f"{name}/{name}{number}.jpg": jpeg(photo(name, number))
        for name, count in PHOTOS.items()
        for number in range(1, count + 1)
    } | planted_faults()
    with atomic_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for member in sorted(files):
            archive.writestr(zipfile.ZipInfo(f"dataset-resized/{member}", ZIP_EPOCH), files[member])


def planted_faults() -> dict[str, bytes]:
    """Return the files that are not simply good photos of their class."""
    grey = ImageEnhance.Color(photo("metal", 901)).enhance(0).convert("L")
    sideways = photo("glass", 902).transpose(Image.Transpose.ROTATE_90)
    turn_back = Image.Exif()
    turn_back[0x0112] = 6  # the camera was held so that the picture must turn clockwise
    return {
        "cardboard/cardboard901.jpg": jpeg(photo("cardboard", 901))[:-6000],
        "trash/trash901.jpg": b"This is a note, not a photo.\n",
        "glass/glass901.jpg": jpeg(photo("glass", 901)),
        "plastic/plastic901.jpg": jpeg(photo("glass", 901)),
        "paper/paper901.jpg": jpeg(photo("paper", 1)),
        "paper/paper902.jpg": jpeg(photo("paper", 2), quality=60),
        "plastic/plastic902.jpg": jpeg(ImageEnhance.Brightness(photo("plastic", 2)).enhance(1.06)),
        "trash/trash902.jpg": jpeg(ImageChops.offset(photo("trash", 2), 1, 1)),
        "metal/metal901.jpg": jpeg(grey),
        "glass/glass902.jpg": jpeg(sideways, exif=turn_back),
    }


def jpeg(image: Image.Image, quality: int = 90, exif: Image.Exif | None = None) -> bytes:
    """Encode as JPEG."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality, exif=exif or Image.Exif())
    return buffer.getvalue()


def photo(name: str, number: int) -> Image.Image:
    """Draw one photo of a class: a thing on a light table, under light of its own."""
    random = np.random.default_rng([SAMPLE_SEED, sorted(PHOTOS).index(name), number])
    scene = table(random)
    for _ in range(random.integers(0, 5)):
        put_clutter(scene, random)
    put(scene, DRAW[name](random), random)
    return light(scene, random)


def table(random: np.random.Generator) -> Image.Image:
    """Return an empty, lightly textured table top, brighter on one side."""
    base = random.integers(222, 237) + random.integers(-3, 4, size=3)
    across, down = random.uniform(-18, 18, size=2)
    x = (np.arange(WIDTH) / WIDTH - 0.5)[None, :, None]
    y = (np.arange(HEIGHT) / HEIGHT - 0.5)[:, None, None]
    grain = random.integers(-5, 6, size=(HEIGHT, WIDTH, 1))
    shade = base + across * x + down * y + grain - 30 * (x * x + y * y)
    return Image.fromarray(np.clip(shade, 0, 255).astype(np.uint8))


def put_clutter(scene: Image.Image, random: np.random.Generator) -> None:
    """Draw a speck or a scratch that belongs to no class."""
    draw = ImageDraw.Draw(scene)
    x, y = int(random.integers(0, WIDTH)), int(random.integers(0, HEIGHT))
    reach_x, reach_y = (int(reach) for reach in random.integers(-22, 23, size=2))
    grey = int(random.integers(120, 200))
    draw.line((x, y, x + reach_x, y + reach_y), (grey,) * 3, width=int(random.integers(1, 4)))


def put(scene: Image.Image, thing: Image.Image, random: np.random.Generator) -> None:
    """Lay a thing on the table, turned, scaled and moved, with a soft shadow."""
    side = int(OBJECT_SIZE * random.uniform(1.15, 1.45))
    scaled = thing.resize((side, side), Image.Resampling.BILINEAR)
    turned = scaled.rotate(float(random.uniform(0, 360)), Image.Resampling.BICUBIC, expand=True)
    x = (WIDTH - turned.width) // 2 + int(random.integers(-50, 51))
    y = (HEIGHT - turned.height) // 2 + int(random.integers(-25, 26))
    shadow = turned.getchannel("A").filter(ImageFilter.GaussianBlur(7))
    strength = random.uniform(0.25, 0.5)
    shadow = shadow.point([int(value * strength) for value in range(256)])
    offset_x, offset_y = (int(offset) for offset in random.integers(-12, 13, size=2))
    scene.paste((40, 40, 45), (x + offset_x, y + offset_y), shadow)
    scene.paste(turned.convert("RGB"), (x, y), turned.getchannel("A"))


def light(scene: Image.Image, random: np.random.Generator) -> Image.Image:
    """Change brightness, contrast and colour of the light, and add the sensor's noise."""
    cast = random.uniform(0.95, 1.05) * random.uniform(0.98, 1.02, size=3)
    noise = random.integers(-6, 7, size=(HEIGHT, WIDTH, 3))
    soft = scene.filter(ImageFilter.GaussianBlur(float(random.uniform(0.3, 1.0))))
    lit = np.asarray(soft).astype(np.float64) * cast + noise
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))


def blank() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return an empty canvas for a thing, and its pen."""
    canvas = Image.new("RGBA", (OBJECT_SIZE, OBJECT_SIZE))
    return canvas, ImageDraw.Draw(canvas, "RGBA")


def shaded(colour: Colour, factor: float, opacity: int = 255) -> tuple[int, int, int, int]:
    """Return a colour made lighter or darker by a factor, as RGBA."""
    red, green, blue = (min(255, max(0, int(channel * factor))) for channel in colour)
    return red, green, blue, opacity


def pick(random: np.random.Generator, colours: list[Colour]) -> Colour:
    """Return one of the colours, varied a little."""
    chosen = colours[random.integers(len(colours))]
    red, green, blue = (int(c) for c in np.clip(chosen + random.integers(-14, 15, 3), 0, 255))
    return red, green, blue


def quadrilateral(random: np.random.Generator, inset: int, wobble: int) -> list[Point]:
    """Return the corners of a bent rectangle, `inset` pixels from the canvas's edge."""
    near, far = inset, OBJECT_SIZE - inset
    short = int(random.integers(0, 45))
    corners = [(near, near + short), (far, near + short), (far, far - short), (near, far - short)]
    moves = random.integers(-wobble, wobble + 1, size=(4, 2))
    return [(x + int(dx), y + int(dy)) for (x, y), (dx, dy) in zip(corners, moves, strict=True)]


def within(canvas: Image.Image, outline: list[Point], layer: Image.Image) -> None:
    """Lay a layer over the canvas, inside an outline only."""
    mask = Image.new("L", canvas.size)
    ImageDraw.Draw(mask).polygon(outline, 255)
    alpha = ImageChops.multiply(mask, layer.getchannel("A"))
    canvas.alpha_composite(Image.merge("RGBA", (*layer.convert("RGB").split(), alpha)))


def tint(layer: Image.Image, box: tuple[int, int, int, int], colour: tuple[int, ...]) -> None:
    """Lay a see-through rectangle over a layer; ImageDraw itself would cut a window into it."""
    veil, pen = blank()
    pen.rectangle(box, colour)
    layer.alpha_composite(veil)


def facets(
    random: np.random.Generator, outline: list[Point], shades: Callable[[], Colour], count: int
) -> Image.Image:
    """Return a crumpled thing: overlapping flat facets inside an outline."""
    canvas, _ = blank()
    layer, pen = blank()
    pen.rectangle((0, 0, OBJECT_SIZE, OBJECT_SIZE), shades())
    for _ in range(count):
        x, y = random.integers(0, OBJECT_SIZE, size=2)
        corners = [(int(x + dx), int(y + dy)) for dx, dy in random.integers(-75, 76, size=(3, 2))]
        pen.polygon(corners, shades())
    within(canvas, outline, layer)
    return canvas


def round_outline(random: np.random.Generator, radius: int, wobble: int) -> list[Point]:
    """Return an irregular closed outline about the canvas's centre."""
    middle, points = OBJECT_SIZE / 2, 18
    return [
        (
            round(middle + reach * math.cos(2 * math.pi * step / points)),
            round(middle + reach * math.sin(2 * math.pi * step / points)),
        )
        for step, reach in enumerate(radius + random.integers(-wobble, wobble + 1, size=points))
    ]


def draw_cardboard(random: np.random.Generator) -> Image.Image:
    """Draw a flattened box or a torn piece: brown, ribbed, folded, sometimes taped."""
    brown = pick(random, [(178, 134, 86), (160, 116, 72), (196, 156, 108)])
    canvas, _ = blank()
    layer, pen = blank()
    pen.rectangle((0, 0, OBJECT_SIZE, OBJECT_SIZE), shaded(brown, 1))
    spacing = int(random.integers(7, 13))
    for x in range(0, OBJECT_SIZE, spacing):
        pen.line((x, 0, x, OBJECT_SIZE), shaded(brown, 0.86), width=2)
    for _ in range(random.integers(1, 4)):
        fold = int(random.integers(60, 240))
        tint(layer, (0, fold, OBJECT_SIZE, OBJECT_SIZE), shaded(brown, 0.7, 60))
        pen.line((0, fold, OBJECT_SIZE, fold), shaded(brown, 0.62), width=4)
    if random.random() < 0.5:
        tape = int(random.integers(60, 210))
        tint(layer, (tape, 0, tape + 32, OBJECT_SIZE), (226, 206, 168, 170))
    within(canvas, quadrilateral(random, 22, 22), layer)
    return canvas


def bottle(random: np.random.Generator, neck_share: float) -> list[Point]:
    """Return the outline of a standing bottle or jar about the canvas's middle."""
    middle, half = OBJECT_SIZE / 2, int(random.integers(58, 82))
    neck = int(half * neck_share)
    top, shoulder = 14, int(random.integers(70, 115))
    return [
        (middle - neck, top), (middle + neck, top), (middle + neck, shoulder - 30),
        (middle + half, shoulder), (middle + half, 276), (middle + half - 10, 286),
        (middle - half + 10, 286), (middle - half, 276), (middle - half, shoulder),
        (middle - neck, shoulder - 30),
    ]  # fmt: skip


def draw_glass(random: np.random.Generator) -> Image.Image:
    """Draw a see-through bottle or jar: green, dark rims, sharp highlights."""
    colour = pick(random, [(36, 112, 52), (70, 134, 84), (24, 92, 66), (110, 160, 96)])
    canvas, _ = blank()
    layer, pen = blank()
    outline = bottle(random, float(random.uniform(0.35, 0.8)))
    pen.rectangle((0, 0, OBJECT_SIZE, OBJECT_SIZE), shaded(colour, 1.15, 165))
    for distance, opacity in ((12, 120), (6, 190)):
        pen.line([*outline, outline[0]], shaded(colour, 0.5, opacity), width=distance)
    left = 150 - int(random.integers(20, 40))
    pen.rectangle((left, 90, left + 7, 262), (255, 255, 255, 215))
    pen.rectangle((left + 14, 110, left + 17, 240), (255, 255, 255, 130))
    pen.ellipse((120, 250, 180, 280), shaded(colour, 0.6, 120))
    within(canvas, outline, layer)
    return canvas


def draw_metal(random: np.random.Generator) -> Image.Image:
    """Draw a tin, a drinks can or crumpled foil: grey, banded by reflections."""
    if random.random() < 0.3:

        def silver() -> Colour:
            grey = int(random.integers(90, 250))
            return (grey, grey, min(255, grey + 6))

        return facets(random, round_outline(random, 105, 22), silver, 90)
    canvas, _ = blank()
    layer, pen = blank()
    half = int(random.integers(60, 92))
    phase = float(random.uniform(0.15, 0.4))
    for x in range(150 - half, 150 + half):
        across = (x - 150 + half) / (2 * half)
        gleam = max(0.0, 1 - 7 * abs(across - phase)) + max(0.0, 0.7 - 6 * abs(across - 0.8))
        grey = int(105 + 60 * (1 - abs(2 * across - 1)) + 90 * min(1.0, gleam))
        pen.line((x, 40, x, 270), shaded((grey, grey, grey + 5), 1))
    if random.random() < 0.6:
        band = pick(random, [(170, 40, 40), (40, 70, 150), (40, 110, 70), (200, 160, 50)])
        top = int(random.integers(90, 140))
        tint(layer, (0, top, OBJECT_SIZE, top + int(random.integers(50, 100))), (*band, 170))
    for y in range(52, 90, 9):
        pen.line((0, y, OBJECT_SIZE, y), (90, 90, 95, 130), width=2)
    left, right = 150 - half, 150 + half
    within(canvas, [(left, 40), (right, 40), (right, 270), (left, 270)], layer)
    lid = ImageDraw.Draw(canvas)
    lid.ellipse((left, 18, right, 62), (196, 197, 202), (110, 110, 115), 3)
    lid.ellipse((left + 14, 25, right - 14, 55), (170, 171, 176), (230, 230, 235), 2)
    lid.ellipse((138, 34, 162, 46), (130, 130, 136))
    return canvas


def draw_paper(random: np.random.Generator) -> Image.Image:
    """Draw a printed or blank sheet, or a crumpled ball of paper: nearly white."""
    white = pick(random, [(246, 246, 244), (238, 234, 222), (250, 250, 252)])
    if random.random() < 0.3:
        return facets(
            random,
            round_outline(random, 108, 16),
            lambda: shaded(white, float(random.uniform(0.78, 1.02)))[:3],
            70,
        )
    canvas, _ = blank()
    layer, pen = blank()
    pen.rectangle((0, 0, OBJECT_SIZE, OBJECT_SIZE), shaded(white, 1))
    ink = int(random.integers(50, 130))
    spacing = int(random.integers(9, 15))
    for y in range(60, 240, spacing):
        if random.random() < 0.85:
            pen.line((52, y, int(random.integers(150, 245)), y), (ink, ink, ink, 230), width=3)
    if random.random() < 0.4:
        picture = pick(random, [(120, 140, 170), (170, 130, 110), (110, 150, 110)])
        x, y = (int(corner) for corner in random.integers(60, 150, size=2))
        pen.rectangle((x, y, x + 75, y + 55), picture)
    fold = int(random.integers(90, 210))
    pen.line((fold, 0, OBJECT_SIZE - fold, OBJECT_SIZE), shaded(white, 0.84), width=3)
    outline = quadrilateral(random, 30, 14)
    pen.line([*outline, outline[0]], shaded(white, 0.75), width=4)
    within(canvas, outline, layer)
    return canvas


def draw_plastic(random: np.random.Generator) -> Image.Image:
    """Draw a bottle with a cap, or a bag: saturated, glossy, labelled."""
    vivid = [(40, 110, 215), (30, 80, 180), (90, 90, 220), (40, 150, 225)]
    colour = pick(random, vivid)
    canvas, pen_on_canvas = blank()
    if random.random() < 0.3:
        layer = facets(
            random,
            round_outline(random, 112, 26),
            lambda: shaded(colour, float(random.uniform(0.85, 1.3)))[:3],
            45,
        )
        pen = ImageDraw.Draw(layer, "RGBA")
        for x, y in random.integers(80, 210, size=(6, 2)):
            pen.line((x, y, x + 26, y + 9), (255, 255, 255, 200), width=4)
        return layer
    layer, pen = blank()
    outline = bottle(random, float(random.uniform(0.3, 0.45)))
    pen.rectangle((0, 0, OBJECT_SIZE, OBJECT_SIZE), shaded(colour, 1, 235))
    tint(layer, (150, 0, OBJECT_SIZE, OBJECT_SIZE), shaded(colour, 0.6, 90))
    label = pick(random, [(250, 250, 245), (235, 110, 170), (250, 190, 40)])
    top = int(random.integers(125, 165))
    pen.rectangle((0, top, OBJECT_SIZE, top + 70), label)
    for y in range(top + 14, top + 60, 14):
        pen.line((125, y, 175, y), shaded(label, 0.55), width=4)
    for y in range(215, 280, 16):
        pen.line((0, y, OBJECT_SIZE, y), shaded(colour, 0.7, 150), width=4)
    pen.ellipse((112, 84, 132, 128), (255, 255, 255, 170))
    within(canvas, outline, layer)
    cap = pick(random, [(250, 250, 250), (220, 50, 60), (235, 110, 170)])
    left, right = outline[0][0] - 5, outline[1][0] + 5
    pen_on_canvas.rectangle((left, 8, right, 36), cap, shaded(cap, 0.6))
    return canvas


def draw_trash(random: np.random.Generator) -> Image.Image:
    """Draw a wrapper torn open among scraps and stains: many dull colours at once."""
    dull = [(96, 40, 50), (80, 60, 40), (50, 40, 60), (130, 80, 60), (60, 50, 50),
            (150, 110, 40), (120, 30, 44)]  # fmt: skip
    canvas = facets(random, round_outline(random, 88, 34), lambda: pick(random, dull), 60)
    pen = ImageDraw.Draw(canvas, "RGBA")
    for x, y in random.integers(30, 260, size=(int(random.integers(10, 18)), 2)):
        reach_x, reach_y = random.integers(8, 34, size=2)
        pen.ellipse((x, y, x + reach_x, y + reach_y), pick(random, dull))
    stripe = pick(random, [(230, 210, 60), (220, 220, 225), (200, 60, 50)])
    for shift in range(-40, 60, int(random.integers(22, 36))):
        zigzag = [(75 + 15 * step, 150 + shift + (9 if step % 2 else -9)) for step in range(11)]
        pen.line(zigzag, stripe, width=5)
    return canvas


DRAW: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "cardboard": draw_cardboard,
    "glass": draw_glass,
    "metal": draw_metal,
    "paper": draw_paper,
    "plastic": draw_plastic,
    "trash": draw_trash,
}
