"""Pictures: real ones, made here, of every kind that people have, and what isn't one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import NOW
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw, ImageOps, PngImagePlugin
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter import pictures
from newsletter.errors import PictureMistake
from newsletter.models import Picture

RED, BLUE = (200, 30, 20), (20, 40, 200)


def photo(width: int = 300, height: int = 200) -> Image.Image:
    """Noise over a gradient: more colours than any drawing has."""
    noise = random.Random(1).randbytes(width * height * 3)
    return Image.blend(
        Image.frombytes("RGB", (width, height), noise),
        Image.linear_gradient("L").resize((width, height)).convert("RGB"),
        0.3,
    )


def drawing(width: int = 300, height: int = 200, mode: str = "RGB") -> Image.Image:
    """Red above, blue below."""
    image = Image.new("RGB", (width, height), RED)
    ImageDraw.Draw(image).rectangle((0, height // 2, width, height), fill=BLUE)
    return image.convert(mode, dither=Image.Dither.NONE)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


def opened(prepared: pictures.Prepared) -> Image.Image:
    image = Image.open(io.BytesIO(prepared.content))
    image.load()
    assert image.size == (prepared.width, prepared.height)
    assert {"jpg": "JPEG", "png": "PNG"}[prepared.extension] == image.format
    return image


def near(got: object, wanted: tuple[int, ...], by: int = 12) -> bool:
    return all(abs(a - b) <= by for a, b in zip(got, wanted, strict=True))  # type: ignore[call-overload]


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"])
def test_every_kind_of_picture_becomes_one_that_mail_programs_show(kind: str) -> None:
    image = opened(pictures.prepare(saved(drawing(), kind)))
    assert image.size == (300, 200)
    assert near(image.convert("RGB").getpixel((10, 10)), RED)
    assert near(image.convert("RGB").getpixel((10, 190)), BLUE)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "RGBA", "LA", "PA", "I;16"])
def test_every_mode_is_shown_as_it_is_meant(mode: str) -> None:
    made = drawing(mode="RGBA" if mode == "PA" else mode) if mode != "I;16" else None
    if mode == "I;16":
        made = Image.frombytes(
            "I;16", (300, 200), struct.pack("<H", 25_700) * 30_000 + struct.pack("<H", 51_400) * 30_000
        )
    elif mode == "PA":
        made = drawing(mode="P").convert("PA")
    assert made is not None
    image = opened(
        pictures.prepare(saved(made, "PNG" if mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16") else "TIFF"))
    )
    top, foot = (
        ((100,) * 3, (200,) * 3)
        if mode == "I;16"
        else (made.convert("RGB").getpixel((5, 5)), made.convert("RGB").getpixel((5, 195)))
    )
    assert near(image.convert("RGB").getpixel((5, 5)), top)
    assert near(image.convert("RGB").getpixel((5, 195)), foot)


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_what_only_instruments_make_is_told_to_be_exported(mode: str) -> None:
    with pytest.raises(PictureMistake, match="8 bits"):
        pictures.prepare(saved(Image.new(mode, (30, 20)), "TIFF"))


def test_a_wide_picture_is_made_twice_as_wide_as_it_is_shown_and_a_small_one_is_left() -> None:
    assert pictures.prepare(saved(drawing(3000, 1500), "PNG")).width == 1280
    assert pictures.prepare(saved(drawing(3000, 1500), "PNG")).height == 640
    assert pictures.prepare(saved(drawing(3000, 1500), "JPEG"), width=176).width == 352
    assert pictures.prepare(saved(drawing(1280, 1000), "PNG")).width == 1280
    assert pictures.prepare(saved(drawing(40, 30), "PNG")).width == 40


def test_a_photograph_becomes_a_jpeg_and_a_drawing_a_png_whatever_they_were() -> None:
    for kind in ("PNG", "TIFF"):
        assert pictures.prepare(saved(photo(), kind)).extension == "jpg"
        assert pictures.prepare(saved(drawing(), kind)).extension == "png"
    assert opened(pictures.prepare(saved(photo(), "PNG"))).info["progressive"]
    grey = photo().convert("L")
    assert pictures.prepare(saved(grey, "PNG")).extension == "jpg"


def test_where_a_picture_could_be_either_it_becomes_the_smaller() -> None:
    smooth = Image.radial_gradient("L").convert("RGB")
    made = pictures.prepare(saved(smooth, "PNG"))
    assert len(made.content) <= min(len(saved(smooth, "PNG", optimize=True)), len(saved(smooth, "JPEG", quality=82)))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "AVIF"])
def test_what_is_transparent_stays_transparent(kind: str) -> None:
    image = photo().convert("RGBA")
    ImageDraw.Draw(image).rectangle((0, 0, 99, 99), fill=(0, 0, 0, 0))
    made = pictures.prepare(saved(image, kind, **({"quality": 90} if kind == "AVIF" else {})))
    assert made.extension == "png"
    assert opened(made).getpixel((20, 20))[3] == 0  # type: ignore[index]
    assert opened(made).getpixel((200, 150))[3] == 255  # type: ignore[index]


def test_one_colour_that_is_declared_transparent_is_transparent() -> None:
    for mode, colour in (("RGB", BLUE), ("L", drawing(mode="L").getpixel((0, 199)))):
        made = pictures.prepare(saved(drawing(mode=mode), "PNG", transparency=colour))
        assert [opened(made).getpixel(at)[3] for at in ((5, 5), (5, 195))] == [255, 0]  # type: ignore[index]


def test_a_palette_with_half_transparent_colours_is_understood() -> None:
    made = pictures.prepare(saved(ImageOps.invert(drawing()).convert("P"), "PNG", transparency=bytes([128]) * 256))
    assert opened(made).getpixel((5, 5))[3] == 128  # type: ignore[index]


def test_dark_ink_without_a_ground_gets_a_white_one_since_it_could_not_be_seen_in_dark_mode() -> None:
    for ink, seen in (((20, 20, 30, 255), (255, 255, 255)), ((240, 200, 40, 255), None)):
        logo = Image.new("RGBA", (300, 150), (0, 0, 0, 0))
        logo.paste(ink, (100, 50, 200, 100))
        made = opened(pictures.prepare(saved(logo, "PNG")))
        assert made.mode == ("RGB" if seen else "RGBA")
        assert made.getpixel((5, 5)) == (seen or (0, 0, 0, 0))
        assert made.getpixel((150, 75))[:3] == ink[:3]  # type: ignore[index]


def test_a_picture_of_nothing_is_told() -> None:
    with pytest.raises(PictureMistake, match="all of this picture is transparent"):
        pictures.prepare(saved(Image.new("RGBA", (300, 150), (0, 0, 0, 0)), "PNG"))


def test_transparency_in_which_nothing_is_transparent_is_left_out() -> None:
    assert pictures.prepare(saved(photo().convert("RGBA"), "PNG")).extension == "jpg"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright_as_the_camera_was_held(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = drawing(400, 200)
    ImageDraw.Draw(image).rectangle((0, 0, 99, 49), fill=(255, 255, 255))
    corner = opened(pictures.prepare(saved(image, kind, exif=exif)))
    assert corner.size == ((400, 200) if orientation <= 4 else (200, 400))
    left, top = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[orientation]
    at = (20 if not left else corner.width - 20, 20 if not top else corner.height - 20)
    assert near(corner.convert("RGB").getpixel(at), (255, 255, 255), 20)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("make", [photo, drawing, lambda: drawing(mode="RGBA").resize((100, 80))])
def test_nothing_is_left_in_it_but_the_picture(kind: str, make: Callable[[], Image.Image]) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (35.0, 41.0, 22.0)
    options: dict[str, object] = {"exif": exif, "dpi": (300, 300)}
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", "SecretComment", zip=True)
        text.add_itxt("XML:com.adobe.xmp", "SecretXmp")
        options["pnginfo"] = text
    if kind == "JPEG":
        options["comment"] = b"SecretComment"
    image = make().convert("RGB") if kind == "JPEG" else make()
    raw = saved(image, kind, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), **options)
    made = pictures.prepare(raw)
    clean = opened(made)
    assert not clean.getexif()
    assert set(clean.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression"}
    assert b"Secret" not in made.content
    assert b"Exif" not in made.content
    assert b"iCCP" not in made.content
    assert b"ICC_PROFILE" not in made.content


def test_colours_are_what_their_profile_means() -> None:
    # A profile whose red and blue are the other way round, if colours are believed without it.
    srgb = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = range(132, 132 + 12 * int.from_bytes(srgb[128:132]), 12)
    place = {bytes(srgb[at : at + 4]): at for at in entries}
    red, blue = place[b"rXYZ"], place[b"bXYZ"]
    srgb[red + 4 : red + 12], srgb[blue + 4 : blue + 12] = srgb[blue + 4 : blue + 12], srgb[red + 4 : red + 12]
    swapped = bytes(srgb).replace("sRGB built-in".encode("utf-16-be"), "Swapped, odd!".encode("utf-16-be"))
    assert b"s\0R\0G\0B" not in swapped
    for mode in ("RGB", "RGBA"):
        image = opened(pictures.prepare(saved(drawing(mode=mode), "PNG", icc_profile=swapped)))
        assert near(image.getpixel((5, 5))[:3], RED[::-1])  # type: ignore[index]


def test_a_profile_that_is_rubbish_or_of_another_kind_is_left_out() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (b"rubbish", lab):
        image = opened(pictures.prepare(saved(drawing(), "PNG", icc_profile=profile)))
        assert near(image.getpixel((5, 5)), RED)


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [drawing(), Image.new("RGB", (300, 200), "green")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        raw = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        image = opened(pictures.prepare(raw))
        assert near(image.convert("RGB").getpixel((5, 5)), RED)
        assert getattr(image, "n_frames", 1) == 1


def test_the_same_picture_gives_the_same_bytes() -> None:
    for image in (photo(1500, 900), drawing(1500, 900), drawing(mode="RGBA")):
        assert pictures.prepare(saved(image, "PNG")) == pictures.prepare(saved(image, "PNG"))


def test_a_picture_whose_header_claims_more_than_can_be_held_is_not_decoded(tmp_path: Path) -> None:
    for width, height in ((100_000, 100_000), (2**31 - 1, 2**31 - 1), (12_000, 12_000), (7_072, 7_072)):
        file = tmp_path / "bomb.png"
        file.write_bytes(png_claiming(width, height))
        with pytest.raises(PictureMistake, match=r"bomb\.png: this picture has .* pixels; 50 million are the most"):
            pictures.prepare(file)


def test_a_large_picture_within_the_limits_is_taken() -> None:
    assert pictures.prepare(saved(Image.new("L", (7_000, 7_000)), "PNG")).width == 1280


def test_a_file_of_too_many_megabytes_is_not_even_read(tmp_path: Path) -> None:
    file = tmp_path / "large.tiff"
    with file.open("wb") as sparse:
        sparse.truncate(40_000_001)
    with pytest.raises(PictureMistake, match=r"40 MB; 40 are the most"):
        pictures.prepare(file)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"])
def test_a_picture_that_is_cut_off_is_told(kind: str) -> None:
    raw = saved(photo(), kind)
    for share in (0.02, 0.5, 0.95):
        with pytest.raises(PictureMistake, match=r"damaged|cut off"):
            pictures.prepare(raw[: int(len(raw) * share)])


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "this file is empty"),
        (b"Just a text", "not a picture"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "Export it as PNG, 1280 pixels wide"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- made -->\n<svg/>', "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC.*Export it as JPEG"),
        (b"%PDF-1.7\n", "page for print"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "page for print"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"<?xml version='1.0'?><feed/>", "not a picture"),
    ],
)
def test_what_is_no_picture_gets_a_sentence(raw: bytes, what: str) -> None:
    with pytest.raises(PictureMistake, match=what):
        pictures.prepare(raw, where="lead.png")


def test_what_cannot_be_read_gets_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path, Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(PictureMistake):
            pictures.prepare(path)


def test_a_line_is_not_a_picture() -> None:
    for size, what in (((1, 10000), "5 times as high"), ((100, 501), "5 times"), ((10000, 1), "20 times as wide")):
        with pytest.raises(PictureMistake, match=what):
            pictures.prepare(saved(Image.new("RGB", size), "PNG"))
    assert pictures.prepare(saved(Image.new("RGB", (100, 500)), "PNG")).height == 500
    exif = Image.Exif()
    exif[0x0112] = 6
    with pytest.raises(PictureMistake, match="100 × 600 pixels, more than 5 times as high"):
        pictures.prepare(saved(Image.new("RGB", (600, 100)), "JPEG", exif=exif))


def test_what_pillow_only_warns_of_is_told_too() -> None:
    torn = b"Exif\0\0MM\0*\0\0\0\x08\0\x05"
    with pytest.raises(PictureMistake, match="damaged"):
        pictures.prepare(saved(drawing(), "JPEG", exif=torn))


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"]),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_no_damage_ends_in_anything_but_a_picture_or_a_sentence(kind: str, changes: list[tuple[float, int]]) -> None:
    raw = bytearray(SMALL[kind])
    for place, byte in changes:
        raw[int(place * len(raw))] = byte
    with contextlib.suppress(PictureMistake):
        opened(pictures.prepare(bytes(raw)))


SMALL = {kind: saved(drawing(24, 16), kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "BMP")}


def test_a_picture_is_kept_once_under_the_name_of_its_content(session: Session, tmp_path: Path) -> None:
    folder, file = tmp_path / "pictures", tmp_path / "named wrongly.gif"
    file.write_bytes(saved(photo(1500, 900), "PNG"))
    row = pictures.store(session, folder, file, NOW)
    kept = pictures.path(folder, row)
    assert kept == folder / row.sha256[:2] / f"{row.sha256}.jpg"
    content = kept.read_bytes()
    assert hashlib.sha256(content).hexdigest() == row.sha256
    assert (row.width, row.height, row.size, row.added) == (1280, 768, len(content), NOW)
    assert pictures.url("https://digest.example.org", row) == f"https://digest.example.org/pictures/{row.sha256}.jpg"
    assert kept.stat().st_mode & 0o777 == 0o644
    assert pictures.store(session, folder, file.read_bytes(), NOW) is row
    assert session.scalar(select(func.count()).select_from(Picture)) == 1
    assert [each for each in folder.rglob("*") if each.is_file()] == [kept]


def test_a_picture_from_the_store_itself_is_not_made_anew(session: Session, tmp_path: Path) -> None:
    row = pictures.store(session, tmp_path, saved(photo(), "PNG"), NOW)
    assert pictures.store(session, tmp_path, pictures.path(tmp_path, row), NOW) is row


def test_a_picture_that_has_gone_from_the_folder_is_written_again(session: Session, tmp_path: Path) -> None:
    raw = saved(drawing(), "PNG")
    row = pictures.store(session, tmp_path, raw, NOW)
    content = pictures.path(tmp_path, row).read_bytes()
    for broken in (None, content[:50]):
        if broken is None:
            pictures.path(tmp_path, row).unlink()
        else:
            pictures.path(tmp_path, row).write_bytes(broken)
        pictures.store(session, tmp_path, raw, NOW)
        assert pictures.path(tmp_path, row).read_bytes() == content


def test_a_folder_that_cannot_be_written_to_is_a_sentence_and_nothing_is_kept(session: Session, tmp_path: Path) -> None:
    (tmp_path / "pictures").write_text("a file where the folder should be")
    with pytest.raises(PictureMistake, match="can't be kept"):
        pictures.store(session, tmp_path / "pictures", saved(drawing(), "PNG"), NOW)
    assert session.scalar(select(func.count()).select_from(Picture)) == 0


def test_a_picture_that_cannot_be_put_in_its_place_leaves_nothing_half_written(
    session: Session, tmp_path: Path
) -> None:
    raw = saved(drawing(), "PNG")
    name = pictures.prepare(raw).sha256
    (tmp_path / name[:2] / f"{name}.png").mkdir(parents=True)
    with pytest.raises(PictureMistake, match="can't be kept"):
        pictures.store(session, tmp_path, raw, NOW)
    assert not list(tmp_path.rglob("*.part"))
