"""Pictures: checked, made what a mail needs, and kept by their content.

What readers get is a JPEG or a PNG in sRGB, upright, at double density, and with nothing in it but the
picture: where a photograph was taken is nobody's business. Its name is the SHA-256 of its bytes, so the same
picture is kept once, and what a sent mail points to never changes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import os
import struct
import tempfile
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageCms, ImageOps, ImageStat, UnidentifiedImageError
from sqlalchemy.orm import Session

from newsletter.database import insert
from newsletter.errors import PictureMistake
from newsletter.models import Picture

WIDTH = 640
"""Of a mail, in CSS pixels; a picture has at most twice as many of its own."""
LARGEST_FILE = 40_000_000
"""In bytes."""
MOST_PIXELS = 50_000_000
"""Of width × height, as the file's header has it, before anything is decoded."""
TALLEST, WIDEST = 5, 20
"""How many times as high as it is wide, or as wide as it is high, a picture may be."""

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "BMP")
_KNOWN = "JPEG, PNG, GIF, WebP, AVIF, TIFF and BMP can be read."
_DRAWING = 65_536
"""Colours above which a picture is a photograph, and PNG isn't even tried."""
_JPEG_QUALITY = 82
_DARK = 70
"""Of 255: ink that is darker can't be made out on the grounds of dark mode, which have about 25."""

# One at a time: a picture of 50 million pixels takes some hundred megabytes, and warnings are the process's.
_one = threading.Lock()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture as readers get it, not yet kept."""

    content: bytes
    extension: str
    width: int
    height: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def store(
    session: Session,
    pictures: Path,
    source: Path | bytes,
    now: dt.datetime,
    *,
    width: int = WIDTH,
    where: str | Path | None = None,
) -> Picture:
    """Keeps a picture and answers its row; a second time, the same row.

    `pictures` is the folder of pictures, `width` what it is shown at, in CSS pixels. A file from the store
    itself is not made anew. PictureMistake (see `prepare`), or where the folder can't be written to.
    """
    raw, where = contents(source, where), _named(source, where)
    made = ready_made(session, raw) or prepare(raw, width=width, where=where)
    return keep(session, pictures, made, now)


def ready_made(session: Session, raw: bytes) -> Prepared | None:
    """A picture that is in the store as these very bytes: to make it anew would only coarsen it."""
    kept = session.get(Picture, hashlib.sha256(raw).hexdigest())
    return Prepared(raw, kept.extension, kept.width, kept.height) if kept else None


def prepare(source: Path | bytes, *, width: int = WIDTH, where: str | Path | None = None) -> Prepared:
    """A picture made what a mail needs: the same bytes for the same source and release of Pillow.

    Its content says what it is; its name may say otherwise. Upright by its EXIF orientation, colours in sRGB,
    no metadata, at most twice `width` pixels wide and never enlarged. Transparency is kept, in a PNG; but dark ink
    gets a white ground, since it couldn't be seen in dark mode. Photographs become JPEG, and what could be either
    becomes the smaller. Of an animation the first frame is taken: Outlook shows no other, and motion beside a text is
    no friend of its reader.

    PictureMistake for what isn't a picture, is cut off or damaged, too large (40 MB, 50 million pixels), too
    tall (1:5) or too wide (20:1), of nothing, and for SVG, HEIC and PDF, which have to be exported. `where` names it.
    """
    where = _named(source, where)
    raw = contents(source, where)
    with _one, warnings.catch_warnings():
        for category in (UserWarning, RuntimeWarning):
            warnings.simplefilter("error", category)
        try:
            return _encoded(_made(_opened(raw, where), width, where))
        except PictureMistake:
            raise
        except MemoryError:
            raise PictureMistake("there is not enough memory for this picture", where=where) from None
        # Decoders of eight formats answer damage with whatever comes to hand: OSError, SyntaxError, …
        except Exception as error:  # noqa: BLE001
            why = str(error).strip().rstrip(".") or type(error).__name__
            raise PictureMistake(
                f"this picture is damaged or cut off ({why})",
                where=where,
                remedy="Open it in an image program and save it anew.",
            ) from None


def keep(session: Session, pictures: Path, prepared: Prepared, now: dt.datetime) -> Picture:
    """Writes a prepared picture to the store, whole or not at all, and answers its row.

    Its file is on disk before its row is. PictureMistake where the folder can't be written to.
    """
    sha256 = prepared.sha256
    _write(pictures / _place(sha256, prepared.extension), prepared.content)
    session.execute(
        insert(session, Picture)
        .values(
            sha256=sha256,
            extension=prepared.extension,
            width=prepared.width,
            height=prepared.height,
            size=len(prepared.content),
            added=now,
        )
        .on_conflict_do_nothing()
    )
    return session.get_one(Picture, sha256)


def path(pictures: Path, picture: Picture | Prepared) -> Path:
    """Where a picture's file is: ab/abcdef….png in the folder of pictures."""
    return pictures / _place(picture.sha256, picture.extension)


def url(base_url: str, picture: Picture | Prepared) -> str:
    """Where readers get it."""
    return f"{base_url}/pictures/{picture.sha256}.{picture.extension}"


def as_kept(raw: bytes, extension: str) -> tuple[int, int] | None:
    """Width and height of a picture as the store has them; None where it is of another kind than its extension says.

    It has to be one that `prepare` takes.
    """
    formats = {"jpg": "JPEG", "png": "PNG", "gif": "GIF"}
    if extension not in formats:
        return None
    try:
        with Image.open(io.BytesIO(raw), formats=[formats[extension]]) as image:
            return image.size
    except UnidentifiedImageError:
        return None


def contents(source: Path | bytes, where: str | Path | None = None) -> bytes:
    """The bytes of a picture's file. PictureMistake where they can't be had, or are too many."""
    where = _named(source, where)
    if isinstance(source, bytes):
        _allowed(len(source), where)
        return source
    try:
        if not source.is_file():
            raise PictureMistake("there is no such file", where=where)
        _allowed(source.stat().st_size, where)
        return source.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise PictureMistake(f"it can't be read: {why}", where=where) from None


def _allowed(size: int, where: str | Path | None) -> None:
    if size > LARGEST_FILE:
        raise PictureMistake(
            f"this file has {size / 1e6:,.0f} MB; {LARGEST_FILE // 1_000_000} are the most",
            where=where,
            remedy=f"Export it {2 * WIDTH} pixels wide: more is never shown.",
        )


def _named(source: Path | bytes, where: str | Path | None) -> str | Path | None:
    return source if where is None and isinstance(source, Path) else where


def _place(sha256: str, extension: str) -> Path:
    return Path(sha256[:2], f"{sha256}.{extension}")


def _opened(raw: bytes, where: str | Path | None) -> Image.Image:
    """The picture with its header read and nothing decoded."""
    if not raw:
        raise PictureMistake("this file is empty", where=where)
    try:
        image = Image.open(io.BytesIO(raw), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many(where) from None
    except UnidentifiedImageError:
        raise _unknown(raw, where) from None
    if image.width * image.height > MOST_PIXELS:
        raise _too_many(where, image)
    return image


def _too_many(where: str | Path | None, image: Image.Image | None = None) -> PictureMistake:
    has = f"{image.width:,} × {image.height:,} pixels" if image else "far too many pixels"
    return PictureMistake(
        f"this picture has {has}; {MOST_PIXELS // 1_000_000} million are the most",
        where=where,
        remedy=f"Export it {2 * WIDTH} pixels wide: more is never shown.",
    )


def _unknown(raw: bytes, where: str | Path | None) -> PictureMistake:
    """What a person is told about a file that is no picture, by what it is instead."""
    start = raw[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml", b"<!doctype svg", b"<!--")) and b"<svg" in start:
        return PictureMistake(
            "this is an SVG, which mail programs don't show",
            where=where,
            remedy=f"Export it as PNG, {2 * WIDTH} pixels wide.",
        )
    if raw[4:8] == b"ftyp" and raw[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"):
        return PictureMistake(
            "this is a HEIC picture, which can't be read here", where=where, remedy="Export it as JPEG."
        )
    if start.startswith((b"%pdf", b"%!ps")):
        return PictureMistake("this is a page for print", where=where, remedy="Export it as PNG.")
    return PictureMistake("this is not a picture, or its beginning is damaged", where=where, remedy=_KNOWN)


def _made(image: Image.Image, width: int, where: str | Path | None) -> Image.Image:
    """Upright, in sRGB as L, RGB or RGBA, and no wider than it is shown."""
    _check_shape(image, where)
    # JPEG decodes to a half, a quarter or an eighth at little cost, where that is still more than is needed.
    image.draft(None, (4 * width, 4 * width))
    image.load()
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    image = _in_srgb(_plain(image, where), profile)
    if image.width > 2 * width:
        height = max(1, round(image.height * 2 * width / image.width))
        image = image.resize((2 * width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    if image.mode == "RGBA":
        image = _grounded(image, where)
    # Whatever is left there (comment, profile, resolution) would be written with it.
    image.info = {}
    return image


def _grounded(image: Image.Image, where: str | Path | None) -> Image.Image:
    """Without transparency where there is none, and on white where it would be dark on dark in dark mode."""
    alpha = image.getchannel("A")
    least, most = alpha.getextrema()
    if most == 0:
        raise PictureMistake(
            "all of this picture is transparent",
            where=where,
            remedy="Export it with what is to be seen in it.",
        )
    if least == 255:
        return image.convert("RGB")
    ink = alpha.point(lambda value: 255 if value > 127 else 0)
    if ink.getbbox() is None or ImageStat.Stat(image.convert("L"), ink).mean[0] >= _DARK:
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")


def _check_shape(image: Image.Image, where: str | Path | None) -> None:
    wide, high = image.size
    # Lying on its side, until it is turned upright.
    if image.getexif().get(0x0112, 1) in (5, 6, 7, 8):
        wide, high = high, wide
    if high > TALLEST * wide:
        raise PictureMistake(
            f"this picture is {wide:,} × {high:,} pixels, more than {TALLEST} times as high as it is wide",
            where=where,
            remedy="Crop it: readers would scroll past nothing else.",
        )
    if wide > WIDEST * high:
        raise PictureMistake(
            f"this picture is {wide:,} × {high:,} pixels, more than {WIDEST} times as wide as it is high",
            where=where,
            remedy="Crop it: on a phone it would be a line.",
        )


def _plain(image: Image.Image, where: str | Path | None) -> Image.Image:
    """As L, RGB or RGBA, or CMYK, which its profile has yet to turn into colours."""
    if image.mode.startswith("I;16"):
        # convert("L") would cut off all that is brighter than 255 of 65,535.
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
        image.info.pop("transparency", None)
    if image.mode in ("I", "F", "LAB", "HSV"):
        raise PictureMistake(
            "this picture has more to a pixel than a screen shows, as instruments and printers use it",
            where=where,
            remedy="Export it as an ordinary PNG of 8 bits.",
        )
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("1", "L"):
        return image.convert("L")
    return image if image.mode == "CMYK" else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Its colours as its profile means them; taken for sRGB where there is none, or it doesn't fit."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(own).lower():
                made = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode=mode)
                assert made is not None
                return made
        except (ImageCms.PyCMSError, OSError, ValueError, struct.error):
            pass
    return image.convert("RGB") if image.mode == "CMYK" else image


def _encoded(image: Image.Image) -> Prepared:
    """As PNG where it is transparent, as JPEG where it is a photograph, else as the smaller of the two."""
    kinds: dict[str, dict[str, object]] = {
        "png": {"format": "PNG"},
        "jpg": {"format": "JPEG", "quality": _JPEG_QUALITY, "progressive": True},
    }
    if image.mode == "RGBA":
        del kinds["jpg"]
    elif image.getcolors(_DRAWING) is None:
        del kinds["png"]
    made = []
    for extension, how in kinds.items():
        out = io.BytesIO()
        image.save(out, optimize=True, **how)  # type: ignore[arg-type]
        made.append(Prepared(out.getvalue(), extension, *image.size))
    return min(made, key=lambda prepared: len(prepared.content))


def _write(target: Path, content: bytes) -> None:
    """Writes a file whole or not at all, and on disk when it returns."""
    if target.is_file() and target.stat().st_size == len(content):
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", suffix=".part", delete=False) as part:
            try:
                part.write(content)
                part.flush()
                os.fsync(part.fileno())
                # Pages may be served by another user than the one who queues stories.
                Path(part.name).chmod(0o644)
                Path(part.name).replace(target)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise PictureMistake(
            f"the picture can't be kept: {error.strerror}",
            where=target.parent,
            remedy="Check that the folder of pictures can be written to, and that the disk has room.",
        ) from None
