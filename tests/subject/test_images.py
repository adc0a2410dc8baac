"""Images: archives and folders give the same pixels; nothing is unpickled."""

import os

import numpy as np
import pytest
from PIL import Image

from auditkit.errors import InputError
from auditkit.subject.images import from_arrays, read_folder, read_npz

GREY = np.random.default_rng(0).integers(0, 256, (4, 6, 5), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)


def save_folder(folder, images, classes=("cat", "dog")):
    for place, image in enumerate(images):
        target = folder / classes[place % len(classes)] if classes else folder
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(target / f"{place}.png")
    return folder


def test_a_folder_gives_the_pixels_that_were_saved(tmp_path):
    table, arrays = read_folder(save_folder(tmp_path, GREY), "animal", "images")
    assert table.column("animal").to_pylist() == ["cat", "cat", "dog", "dog"]
    assert table.column("file").to_pylist() == ["cat/0.png", "cat/2.png", "dog/1.png", "dog/3.png"]
    assert np.array_equal(arrays["images"], GREY[[0, 2, 1, 3]][:, None])


def test_colour_is_kept_and_channels_can_be_asked_for(tmp_path):
    folder = save_folder(tmp_path, COLOUR, ())
    table, arrays = read_folder(folder, "label", "images")
    assert table.column_names == ["file"]
    assert np.array_equal(arrays["images"], COLOUR.transpose(0, 3, 1, 2))
    assert read_folder(folder, "label", "images", channels=1)[1]["images"].shape == (4, 1, 6, 5)


def test_grey_beside_colour_becomes_colour(tmp_path):
    Image.fromarray(GREY[0]).save(tmp_path / "a.png")
    Image.fromarray(COLOUR[0]).save(tmp_path / "b.png")
    images = read_folder(tmp_path, "label", "images")[1]["images"]
    assert images.shape == (2, 3, 6, 5)
    assert np.array_equal(images[0], np.stack([GREY[0]] * 3))


def test_an_archive_is_sorted_by_dimension(tmp_path):
    np.savez(tmp_path / "d.npz", images=GREY, label=["a", "b", "a", "b"], x=np.arange(8).reshape(4, 2), n=np.arange(4))
    table, arrays = read_npz(tmp_path / "d.npz")
    assert table.to_pydict() == {
        "label": ["a", "b", "a", "b"],
        "x0": [0, 2, 4, 6],
        "x1": [1, 3, 5, 7],
        "n": [0, 1, 2, 3],
    }
    assert np.array_equal(arrays["images"], GREY)


class Trap:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_pickled_objects_in_an_archive_are_not_opened(tmp_path):
    mark = tmp_path / "executed"
    np.savez(tmp_path / "d.npz", images=np.array([Trap(mark)], dtype=object))
    with pytest.raises(InputError, match="pickled objects, which are not opened"):
        read_npz(tmp_path / "d.npz")
    assert not mark.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_truncated_archive_is_refused(tmp_path, share):
    np.savez_compressed(tmp_path / "d.npz", images=GREY, label=np.arange(4))
    content = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "d.npz").write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="truncated or damaged"):
        read_npz(tmp_path / "d.npz")


def test_a_damaged_byte_in_an_archive_is_refused(tmp_path):
    np.savez(tmp_path / "d.npz", images=GREY)
    content = bytearray((tmp_path / "d.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(InputError, match="truncated or damaged"):
        read_npz(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "holds no arrays"),
        ({"a": np.zeros(3), "b": np.zeros(2)}, "same number of rows, found a: 3, b: 2"),
        ({"a": np.zeros(3), "b": np.array(1)}, "b: a single value"),
    ],
)
def test_arrays_that_do_not_belong_together(arrays, said):
    with pytest.raises(InputError, match=said):
        from_arrays(arrays, "d.npz")


def test_folders_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="has no pictures"):
        read_folder(tmp_path, "label", "images")
    save_folder(tmp_path, GREY)
    (tmp_path / "dog" / "9.png").write_bytes((tmp_path / "dog" / "1.png").read_bytes()[:40])
    with pytest.raises(InputError, match=r"9\.png: cannot be read as a picture"):
        read_folder(tmp_path, "label", "images")
    Image.fromarray(GREY[0, :3]).save(tmp_path / "dog" / "9.png")
    with pytest.raises(InputError, match=r"9\.png: is 3x5 \(height x width\), the first picture 6x5"):
        read_folder(tmp_path, "label", "images")
    Image.fromarray(GREY[0]).save(tmp_path / "stray.png")
    with pytest.raises(InputError, match="both beside and inside its subfolders"):
        read_folder(tmp_path, "label", "images")
