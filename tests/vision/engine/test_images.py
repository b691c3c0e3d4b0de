"""Whatever bytes arrive, the answer is an accepted picture or one sentence."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from vision.engine.images import (
    ImageError,
    ImageLimits,
    check_image,
    check_images,
    display_name,
    hash_distance,
    load_image,
    perceptual_hash,
    render_preview,
)

EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif", "GIF": "gif"}


def picture(width=60, height=40, mode="RGB"):
    """Left half dark, right half bright, with a bright corner at the top left, so that turns are visible."""
    values = np.zeros((height, width), np.uint8)
    values[:, width // 2 :] = 180
    values[: height // 4, : width // 4] = 255
    return Image.fromarray(values).convert(mode)


def encode(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_claiming(width, height, *extra):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    chunks = [png_chunk(b"IHDR", header), *extra, pixels, png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def refusal(data, name, limits=None):
    with pytest.raises(ImageError) as caught:
        check_image(data, name, *([limits] if limits else []))
    return caught.value


@pytest.mark.parametrize("format", EXTENSIONS)
def test_accepts_every_supported_format(format):
    data = encode(picture(), format)
    info = check_image(data, f"part.{EXTENSIONS[format].upper()}")
    assert (info.format, info.extension, info.width, info.height) == (format, EXTENSIONS[format], 60, 40)
    assert len(info.sha256) == 64
    pixels = np.asarray(load_image(data))
    assert pixels.shape == (40, 60, 3)
    assert pixels.dtype == np.uint8
    assert abs(int(pixels[30, 50, 0]) - 180) < 8


def test_a_name_without_an_extension_is_fine():
    for name in ("blob", "Part 3.5", "", "IMG.2024"):
        assert check_image(encode(picture(), "PNG"), name).format == "PNG"


def heic():
    return b"\0\0\0\x18ftypheic" + b"\0" * 40


@pytest.mark.parametrize(
    ("data", "name", "code", "words"),
    [
        (b"", "a.jpg", "empty", "0 bytes"),
        (b"just some words about a part\n" * 20, "a.jpg", "not_an_image", "plain text"),
        (b"<!DOCTYPE html><html><script>alert(1)</script>", "a.png", "not_an_image", "HTML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg", "unsupported", "SVG"),
        (b"<?xml version='1.0'?>\n<!-- x --><svg/>", "a.png", "unsupported", "SVG"),
        (b"%PDF-1.7 ...", "a.pdf", "unsupported", "PDF"),
        (heic(), "a.heic", "unsupported", "HEIC"),
        (b"PK\x03\x04" + b"\0" * 50, "a.jpg", "not_an_image", "ZIP"),
        (bytes(range(256)) * 4, "a.jpg", "not_an_image", "not a picture"),
        (encode(picture(), "PNG"), "a.jpg", "type_mismatch", "PNG"),
        (encode(picture(), "JPEG"), "a.txt", "type_mismatch", ".txt"),
        (encode(picture(8, 60), "PNG"), "a.png", "too_small", "8 x 60"),
        (png_claiming(20_000, 20_000), "a.png", "too_many_pixels", "20000 x 20000"),
        (encode(picture(), "JPEG")[:400], "a.jpg", "truncated", "cut off"),
        (encode(picture(), "PNG")[:-30], "a.png", "truncated", "cut off"),
    ],
)  # fmt: skip
def test_refuses_with_a_sentence_that_names_the_file(data, name, code, words):
    error = refusal(data, name)
    assert error.code == code
    assert str(error).startswith(name)
    assert words in str(error)


def test_says_the_limits():
    data = encode(picture(400, 300), "PNG")
    assert "at most 0.0 MiB" in str(refusal(data, "a.png", ImageLimits(max_bytes=100)))
    assert refusal(data, "a.png", ImageLimits(max_bytes=100)).code == "too_large"
    error = refusal(data, "a.png", ImageLimits(max_pixels=100_000))
    assert (error.code, "0.1 million" in str(error)) == ("too_many_pixels", True)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_refuses_several_frames(format):
    data = encode(picture(), format, save_all=True, append_images=[picture().rotate(90)])
    error = refusal(data, f"a.{EXTENSIONS[format]}")
    assert error.code == "animated"
    assert "file of its own" in str(error)


def test_a_phone_jpeg_with_a_second_picture_inside_is_accepted():
    data = encode(picture(), "MPO", save_all=True, append_images=[picture(30, 20)])
    info = check_image(data, "phone.jpg")
    assert (info.format, info.width) == ("JPEG", 60)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_refuses_png_metadata_bombs(kind):
    bomb = zlib.compress(b"\0" * 30_000_000)
    body = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}[kind] + bomb
    data = png_claiming(20, 20, png_chunk(kind, body))
    assert refusal(data, "a.png").code == "metadata"


def test_refuses_a_tiff_whose_tiles_are_larger_than_the_limit():
    data = bytearray(encode(picture(64, 64, "L"), "TIFF", compression="tiff_lzw"))
    tags = {256: 64, 257: 64, 258: 8, 259: 5, 262: 1, 277: 1, 322: 60_000, 323: 60_000, 324: 8, 325: 100}
    directory = struct.pack("<H", len(tags))
    for tag, value in tags.items():
        directory += struct.pack("<HHII", tag, 4, 1, value)
    data = b"II*\0" + struct.pack("<I", 8 + 100) + b"\0" * 100 + directory + struct.pack("<I", 0)
    assert refusal(data, "a.tif").code == "too_many_pixels"


def test_a_huge_webp_canvas_is_refused_before_decoding():
    body = b"\0\0\0\0" + (16_000 - 1).to_bytes(3, "little") * 2
    data = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + body
    assert refusal(data, "a.webp").code in {"too_many_pixels", "truncated"}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(format, orientation):
    upright = picture(64, 32)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what the camera did to the upright picture
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(stored, format, exif=exif.tobytes(), **options)
    info = check_image(data, "turned")
    assert (info.width, info.height) == (64, 32)
    difference = np.abs(np.asarray(load_image(data), int) - np.asarray(upright, int))
    assert np.mean(difference) < 8


def test_broken_exif_does_not_cost_the_picture():
    data = encode(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f junk")
    assert check_image(data, "a.jpg").width == 60
    assert load_image(data).size == (60, 40)


def test_cmyk_jpeg_keeps_its_brightness():
    data = encode(picture(mode="CMYK"), "JPEG")
    assert check_image(data, "a.jpg").mode == "CMYK"
    pixels = np.asarray(load_image(data), int)
    assert abs(pixels[30, 50].mean() - 180) < 10
    assert pixels[30, 10].mean() < 10


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_deep_grey_is_scaled_by_the_range_of_the_sensor(format, bits):
    full = 2**bits - 1
    values = np.linspace(0, full, 64 * 64).reshape(64, 64).astype(np.uint16)
    data = encode(Image.fromarray(values), format)
    check_image(data, "deep")
    grey = np.asarray(load_image(data))[..., 0].astype(int)
    assert (grey[0, 0], grey[-1, -1]) == (0, 255)
    assert np.abs(grey - values / full * 255).max() <= 1


def test_float_tiff_is_scaled():
    values = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    values[0, 0] = np.nan
    grey = np.asarray(load_image(encode(Image.fromarray(values), "TIFF")))
    assert grey.max() == 255
    assert abs(int(grey[16, 0, 0]) - 128) <= 1
    negative = np.asarray(load_image(encode(Image.fromarray(values * 2000 - 1000), "TIFF")))
    assert (negative.min(), negative.max()) == (0, 255)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA"])
def test_every_mode_becomes_rgb_over_white(mode):
    layer = picture(mode="RGBA")
    layer.putalpha(Image.fromarray(np.repeat([[0, 255]], 40, 0).repeat(30, 1).astype(np.uint8)))
    has_alpha = mode in {"LA", "RGBA"}
    image = layer.convert(mode) if has_alpha else picture(mode=mode)
    data = encode(image, "PNG")
    check_image(data, "a.png")
    pixels = np.asarray(load_image(data), int)
    assert pixels.shape == (40, 60, 3)
    assert pixels[30, 5, 0] == (255 if has_alpha else 0)


def test_palette_transparency_is_white():
    image = picture(mode="L").convert("P")
    transparent = image.getpixel((10, 30))
    pixels = np.asarray(load_image(encode(image, "PNG", transparency=transparent)))
    assert pixels[30, 10].tolist() == [255, 255, 255]
    assert abs(int(pixels[30, 50, 0]) - 180) < 3


def test_fit_decodes_a_large_jpeg_at_a_fraction_but_not_below_twice_the_need():
    data = encode(picture(1600, 1200), "JPEG")
    assert load_image(data).size == (1600, 1200)
    assert load_image(data, fit=128).size == (400, 300)
    assert check_image(data, "a.jpg").width == 1600


def test_load_image_takes_paths_and_files(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode(picture(), "PNG"))
    assert load_image(path).size == (60, 40)
    with path.open("rb") as file:
        assert load_image(file).size == (60, 40)
    path.write_bytes(b"gone")
    with pytest.raises(ImageError, match=r"^a\.png"):
        load_image(path)


def test_counts_the_files_of_an_upload():
    files = [(encode(picture(), "PNG"), f"{number}.png") for number in range(11)]
    assert len(check_images(files[:10])) == 10
    with pytest.raises(ImageError, match="11 pictures") as caught:
        check_images(files)
    assert caught.value.code == "too_many_files"
    with pytest.raises(ImageError) as caught:
        check_images([])
    assert caught.value.code == "no_files"


def test_names_in_sentences_are_harmless():
    assert display_name("C:\\photos\\..\\weld\x00\n.jpg") == "weld.jpg"
    assert display_name("../../etc/passwd") == "passwd"
    assert display_name("\n") == "The file"
    assert len(display_name("x" * 500 + ".jpg")) == 80


def test_perceptual_hash_is_signed_and_finds_near_duplicates():
    rng = np.random.default_rng(3)
    hashes = []
    for _ in range(20):
        small = Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8))
        image = small.resize((160, 160), Image.Resampling.BICUBIC).convert("RGB")
        first = perceptual_hash(image)
        again = perceptual_hash(load_image(encode(image, "JPEG", quality=60)))
        assert -(2**63) <= first < 2**63
        assert hash_distance(first, again) <= 6
        hashes.append(first)
    assert min(hashes) < 0
    assert len(set(hashes)) == 20
    assert hash_distance(hashes[0], hashes[1]) > 10
    assert hash_distance(-1, 0) == 64


def test_preview_is_small_and_carries_no_metadata():
    exif = Image.Exif()
    exif[0x010E] = "where it was taken"
    source = load_image(encode(picture(800, 400), "JPEG", exif=exif))
    preview = Image.open(io.BytesIO(render_preview(source, 200)))
    assert (preview.format, preview.size) == ("WEBP", (200, 100))
    assert not preview.getexif()
    assert source.size == (800, 400)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("format", EXTENSIONS)
def test_damaged_files_raise_nothing_but_image_errors(format):
    rng = random.Random(7)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if format in {"BMP", "GIF"} else {"exif": exif.tobytes()}
    if format == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("note", "text " * 20, zip=True)
    if format == "TIFF":
        options["compression"] = "tiff_lzw"
    sound = encode(picture(24, 24), format, **options)
    limits = ImageLimits(max_pixels=1_000_000)
    refused = 0
    for turn in range(400):
        data = bytearray(sound)
        if turn % 3 == 0:
            del data[rng.randrange(len(data)) :]
        else:
            for _ in range(rng.choice([1, 2, 8])):
                place = rng.randrange(min(len(data), rng.choice([64, 100_000])))
                data[place] = rng.choice([data[place] ^ 1 << rng.randrange(8), 0, 255])
        try:
            check_image(bytes(data), f"a.{EXTENSIONS[format]}", limits)
        except ImageError:
            refused += 1
            continue
        load_image(bytes(data), fit=8)
    assert refused > 50
