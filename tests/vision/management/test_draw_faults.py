"""Drawn pictures in folders that the other commands take, and a sheet that can be read."""

from io import BytesIO

import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from vision.services.measurement.pictures import folder_sources


def test_a_folder_of_each_kind_is_drawn_and_can_be_measured(tmp_path):
    arguments = ["--kinds", "scratch", "none", "--materials", "steel_sheet", "leather_panel"]
    for name in ("one", "again"):
        call_command("draw_faults", str(tmp_path / name), *arguments, "--number", "3", "--size", "64")
    drawn = folder_sources(tmp_path / "one")
    assert [source.label for source in drawn] == ["none"] * 3 + ["scratch"] * 3
    files = [source.read() for source in drawn]
    assert len(set(files)) == 6
    assert files == [source.read() for source in folder_sources(tmp_path / "again")]
    assert {Image.open(BytesIO(file)).size for file in files} == {(64, 64)}


def test_other_seeds_draw_other_pictures(tmp_path):
    for seed in ("0", "1"):
        call_command(
            "draw_faults", str(tmp_path), "--kinds", "pit", "--number", "1", "--size", "32", "--seed", seed
        )
    first, second = (path.read_bytes() for path in (tmp_path / "pit").iterdir())
    assert first != second


@pytest.mark.parametrize("name", ["sheet.png", "deep/sheet.jpg"])
def test_a_sheet_has_a_labelled_cell_for_each_material_and_kind(tmp_path, name):
    path = tmp_path / name
    call_command(
        "draw_faults", "--sheet", str(path), "--kinds", "pit", "dent", "--materials", "iron_casting",
        "--size", "64",
    )  # fmt: skip
    with Image.open(path) as sheet:
        assert sheet.format == ("PNG" if name.endswith("png") else "JPEG")
        assert sheet.width > 2 * 64
        assert sheet.convert("L").getextrema() == pytest.approx((25, 250), abs=25), "ink on paper"
    assert [left.name for left in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name a folder"),
        (["DIR", "--kinds", "hole"], "no kind 'hole'.*scratch, crack"),
        (["DIR", "--materials", "cheese"], "no material 'cheese'.*steel_sheet"),
        (["DIR", "--number", "0"], "at least 1"),
        (["DIR", "--size", "8"], "32 to 4096"),
        (["DIR", "--seed", "-1"], "at least 0"),
        (["--sheet", "sheet.gif"], r"must end in \.jpg"),
    ],
)
def test_wrong_arguments_get_a_sentence_and_draw_nothing(tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match=sentence):
        call_command("draw_faults", *arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_can_not_be_written_is_named(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with pytest.raises(CommandError, match="taken"):
        call_command("draw_faults", str(taken), "--kinds", "pit", "--number", "1", "--size", "32")
