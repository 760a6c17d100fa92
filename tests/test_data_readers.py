"""Readers: files written here byte by byte from the formats' descriptions, and what is said of damaged ones."""

import gzip
import os
import pickle
import struct
import sys

import numpy as np
import pytest

from fdl import InputError
from fdl.data import (
    Batches,
    Vocabulary,
    cifar10,
    cifar100,
    image_folder,
    mnist,
    next_character_windows,
    read_idx,
    read_text,
    split,
    tiny_shakespeare,
    vocabulary,
)

RANDOM = np.random.default_rng(0)


def idx(kind, shape, values, form):
    """kind: the byte for the type; form: its letter in `struct`."""
    head = struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape)
    return head + struct.pack(f">{len(values)}{form}", *values)


class TestIdx:
    @pytest.mark.parametrize(
        ("kind", "form", "dtype", "values"),
        [
            (0x08, "B", np.uint8, [0, 1, 2, 3, 254, 255]),
            (0x09, "b", np.int8, [0, 1, -1, 127, -128, 5]),
            (0x0B, "h", np.int16, [0, 1, -1, 1000, -32768, 5]),
            (0x0C, "i", np.int32, [0, 1, -1, 100000, -(2**31), 5]),
            (0x0D, "f", np.float32, [0, 1, -1, 0.5, 1e30, -0.25]),
            (0x0E, "d", np.float64, [0, 1, -1, 0.5, 1e300, -0.25]),
        ],
    )
    @pytest.mark.parametrize("compress", [bytes, gzip.compress])
    def test_has_every_type_of_number(self, tmp_path, kind, form, dtype, values, compress):
        path = tmp_path / "any name"
        path.write_bytes(compress(idx(kind, (2, 3), values, form)))
        array = read_idx(path)
        assert array.dtype == dtype
        assert array.dtype.isnative
        assert array.tolist() == np.array(values, dtype).reshape(2, 3).tolist()
        array[0] = 0  # it is the caller's own

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "no idx file.*empty"),
            (b"\0\0\x08", "no idx file"),
            (b"\x89PNG", "no idx file.*89 50 4e 47"),
            (b"\0\0\x07\x01", "no idx file.*00 00 07 01"),
            (b"\0\0\x08\x03\0\0\0\1", "cut off.*ends at byte 8.*3 axes"),
            (idx(8, (3,), [1, 2], "B"), r"cut off: \[3\] of uint8 take 11 bytes, it has 10"),
            (idx(8, (1,), [1, 2], "B"), "left over"),
            (gzip.compress(idx(8, (500,), range(200), "B"), mtime=0)[:60], "damaged"),
            (gzip.compress(idx(8, (3,), [1, 2, 3], "B"), mtime=0)[:-8] + bytes(8), "damaged"),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\0\xff\xff\xff\xff", "damaged"),
        ],
    )
    def test_says_which_file_is_wrong_and_how(self, tmp_path, content, message):
        path = tmp_path / "digits-idx1-ubyte"
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"digits-idx1-ubyte.*{message}"):
            read_idx(path)


class TestMnist:
    @pytest.fixture(params=["plain", "gz"])
    def folder(self, tmp_path, request):
        for part, n in ("train", 3), ("t10k", 2):
            pixels, labels = RANDOM.integers(0, 256, n * 784).tolist(), list(range(n))
            for name, content in (
                (f"{part}-images-idx3-ubyte", idx(8, (n, 28, 28), pixels, "B")),
                (f"{part}-labels-idx1-ubyte", idx(8, (n,), labels, "B")),
            ):
                if request.param == "gz":
                    name, content = f"{name}.gz", gzip.compress(content)
                (tmp_path / name).write_bytes(content)
        return tmp_path

    def test_is_images_and_class_ids(self, folder):
        (images, labels), (test_images, test_labels), classes = mnist(folder)
        assert (images.shape, images.dtype) == ((3, 28, 28, 1), np.uint8)
        assert (labels.tolist(), labels.dtype) == ([0, 1, 2], np.int32)
        assert (test_images.shape, test_labels.tolist(), classes[9]) == ((2, 28, 28, 1), [0, 1], "9")
        path = next(folder.glob("train-images*"))
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix else content
        assert images[1, 2, 3, 0] == content[16 + 784 + 2 * 28 + 3]

    def test_says_what_is_missing(self, folder):
        next(folder.glob("t10k-labels*")).unlink()
        with pytest.raises(InputError, match=r"no MNIST in .*t10k-labels-idx1-ubyte.*download=True"):
            mnist(folder)

    def test_says_which_files_do_not_belong_together(self, folder):
        next(folder.glob("train-labels*")).write_bytes(idx(8, (2,), [0, 1], "B"))
        with pytest.raises(InputError, match=r"train-images.* has 3 images, but .*train-labels.* has 2 labels"):
            mnist(folder)

    def test_says_which_file_has_something_else(self, folder):
        next(folder.glob("train-images*")).write_bytes(idx(8, (2,), [0, 1], "B"))
        with pytest.raises(InputError, match=r"train-images.* should have images"):
            mnist(folder)


def planes(n):
    """The bytes of n images as CIFAR has them: red, green, blue."""
    return RANDOM.integers(0, 256, (n, 3072)).astype(np.uint8)


def python_2_pickle(items):
    """The dict as Python 2 and its NumPy pickled it (protocol 2), opcode by opcode: strings are str, an array calls
    numpy.core.multiarray._reconstruct."""

    def of(value):
        if isinstance(value, str):
            return b"T" + struct.pack("<i", len(value)) + value.encode()
        if isinstance(value, int):
            return b"J" + struct.pack("<i", value)
        if isinstance(value, list):
            return b"](" + b"".join(map(of, value)) + b"e"
        empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\x01btR"
        dtype = b"cnumpy\ndtype\n(U\x02u1K\0K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        raw = b"T" + struct.pack("<i", value.size) + value.tobytes()
        return empty + b"(K\x01(" + b"".join(map(of, value.shape)) + b"t" + dtype + b"\x89" + raw + b"tb"

    return b"\x80\x02}(" + b"".join(of(key) + of(value) for key, value in items.items()) + b"u."


def python_3_pickle(items):
    return pickle.dumps(items, protocol=2)


def write_cifar10(folder, form):
    """Two images per file, image i of file f has class (f + i) % 10. Returns the bytes of all of them."""
    folder.mkdir()
    content = []
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        data, labels = planes(2), [number, (number + 1) % 10]
        content.append(data)
        if form == "binary":
            records = b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, data, strict=True))
            (folder / f"{name}.bin").write_bytes(records)
        else:
            (folder / name).write_bytes(form({"data": data, "labels": labels, "filenames": ["a.png", "b.png"]}))
    names = [f"class{i}" for i in range(10)]
    if form == "binary":
        (folder / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    else:
        (folder / "batches.meta").write_bytes(form({"label_names": names, "num_vis": 3072}))
    return np.concatenate(content)


FORMS = {"binary": "cifar-10-batches-bin", python_2_pickle: "cifar-10-batches-py", python_3_pickle: ""}


class TestCifar:
    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("inside", [True, False])
    def test_10_in_every_form(self, tmp_path, form, inside):
        folder = tmp_path / (FORMS[form] or "cifar-10-batches-py")
        content = write_cifar10(folder, form)
        (images, labels), (test_images, test_labels), classes = cifar10(folder if inside else tmp_path)
        assert (images.shape, images.dtype, labels.dtype) == ((10, 32, 32, 3), np.uint8, np.int32)
        assert labels.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
        assert (test_images.shape, test_labels.tolist()) == ((2, 32, 32, 3), [5, 6])
        assert classes == tuple(f"class{i}" for i in range(10))
        for channel in range(3):
            assert images[7, 4, 9, channel] == content[7, 1024 * channel + 32 * 4 + 9]
        assert test_images[1, 31, 0, 2] == content[11, 2048 + 32 * 31]

    @pytest.mark.parametrize("form", ["binary", python_2_pickle])
    @pytest.mark.parametrize("kind", ["fine", "coarse"])
    def test_100_in_both_forms(self, tmp_path, form, kind):
        folder = tmp_path / ("cifar-100-binary" if form == "binary" else "cifar-100-python")
        folder.mkdir()
        names = {f"{one}_label_names": [f"{one}{i}" for i in range(3)] for one in ("coarse", "fine")}
        for name, n in ("train", 3), ("test", 1):
            data, coarse, fine = planes(n), list(range(n)), [90 + i for i in range(n)]
            if form == "binary":
                records = b"".join(bytes([coarse[i], fine[i]]) + data[i].tobytes() for i in range(n))
                (folder / f"{name}.bin").write_bytes(records)
            else:
                items = {"data": data, "coarse_labels": coarse, "fine_labels": fine}
                (folder / name).write_bytes(form(items))
        if form == "binary":
            for key, values in names.items():
                (folder / f"{key}.txt").write_text("\n".join(values))
        else:
            (folder / "meta").write_bytes(form(names))
        train, test, classes = cifar100(tmp_path, labels=kind)
        assert train[0].shape == (3, 32, 32, 3)
        assert train[1].tolist() == ([90, 91, 92] if kind == "fine" else [0, 1, 2])
        assert test[0][0, 5, 6, 1] == data[0, 1024 + 32 * 5 + 6]
        assert classes == tuple(names[f"{kind}_label_names"])

    def test_runs_nothing_that_a_pickle_brings(self, tmp_path):
        class Harmful:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "was here"),)

        folder = tmp_path / "cifar-10-batches-py"
        write_cifar10(folder, python_2_pickle)
        for content in (
            pickle.dumps({b"data": Harmful()}),
            pickle.dumps({"data": np.zeros((2, 3072))}, protocol=2),
            pickle.dumps({"data": np.array([Harmful()], object)}, protocol=2),
            pickle.dumps({"data": np.load}),
        ):
            (folder / "data_batch_3").write_bytes(content)
            with pytest.raises(InputError, match=r"data_batch_3 is damaged.*UnpicklingError"):
                cifar10(tmp_path)
        assert not (tmp_path / "was here").exists()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is damaged.*EOFError"),
            (b"garbage", "is damaged"),
            (pickle.dumps([1]), "is damaged"),
            (python_2_pickle({"data": planes(2), "labels": [0, 1]})[:5000], "is damaged"),
            (python_2_pickle({"labels": [0, 1]}), r'"data", an array \[N, 3072\]'),
            (python_2_pickle({"data": planes(2)[:, :3071], "labels": [0, 1]}), r'"data", an array \[N, 3072\]'),
            (python_2_pickle({"data": planes(2), "labels": [0]}), '"labels", a list of 2 classes'),
            (python_2_pickle({"data": planes(2)}), '"labels", a list of 2 classes'),
        ],
    )
    def test_says_which_pickle_is_wrong_and_how(self, tmp_path, content, message):
        write_cifar10(tmp_path / "cifar-10-batches-py", python_2_pickle)
        (tmp_path / "cifar-10-batches-py" / "data_batch_2").write_bytes(content)
        with pytest.raises(InputError, match=f"data_batch_2.*{message}"):
            cifar10(tmp_path)

    @pytest.mark.parametrize("content", [b"", bytes(3072), bytes(3074)])
    def test_says_which_records_are_wrong_and_how(self, tmp_path, content):
        write_cifar10(tmp_path / "cifar-10-batches-bin", "binary")
        (tmp_path / "cifar-10-batches-bin" / "data_batch_2.bin").write_bytes(content)
        with pytest.raises(InputError, match=r"data_batch_2.bin is cut off.*records of 3073 bytes"):
            cifar10(tmp_path)

    def test_says_what_is_missing(self, tmp_path):
        with pytest.raises(InputError, match=r"no CIFAR-10 in .*cifar-10-batches-bin.*download=True"):
            cifar10(tmp_path)
        with pytest.raises(InputError, match=r"no CIFAR-100 in .*cifar-100-binary.*download=True"):
            cifar100(tmp_path)
        folder = tmp_path / "cifar-10-batches-bin"
        write_cifar10(folder, "binary")
        (folder / "batches.meta.txt").unlink()
        with pytest.raises(InputError, match=r"not complete: it has neither batches.meta.txt nor"):
            cifar10(tmp_path)
        (folder / "data_batch_4.bin").unlink()
        with pytest.raises(InputError, match=r"not complete: it has neither data_batch_4.bin nor data_batch_4"):
            cifar10(tmp_path)

    def test_says_which_names_of_classes_are_wrong(self, tmp_path):
        folder = tmp_path / "cifar-10-batches-py"
        write_cifar10(folder, python_2_pickle)
        (folder / "batches.meta").write_bytes(python_2_pickle({"label_names": 3}))
        with pytest.raises(InputError, match=r'batches.meta should have "label_names"'):
            cifar10(tmp_path)

    def test_refuses_other_labels(self, tmp_path):
        with pytest.raises(InputError, match="'superclass'"):
            cifar100(tmp_path, labels="superclass")


class TestText:
    TEXT = "Zwölf Boxkämpfer 𝄞 jagen\n"

    def test_encodes_and_decodes(self):
        letters = vocabulary(self.TEXT)
        ids = letters.encode(self.TEXT)
        assert (ids.shape, ids.dtype) == ((len(self.TEXT),), np.int32)
        assert [letters.characters[i] for i in ids] == list(self.TEXT)
        assert letters.decode(ids) == self.TEXT
        assert letters.decode([0, 1]) == letters.characters[:2]
        assert letters.encode("").tolist() == []
        assert letters.decode([]) == ""
        assert letters == Vocabulary("".join(sorted(set(self.TEXT))))

    @pytest.mark.parametrize(("text", "place"), [("xbn", 0), ("abn\0", 3), ("aby", 2), ("a𝄞", 1)])
    def test_says_which_character_is_unknown(self, text, place):
        with pytest.raises(InputError, match=f"character {place} of the text, .*vocabulary of 3"):
            Vocabulary("abn").encode(text)

    @pytest.mark.parametrize("ids", [[3], [-1]])
    def test_says_which_ids_are_unknown(self, ids):
        with pytest.raises(InputError, match=rf"\[0, 3\), got {ids[0]}"):
            Vocabulary("abn").decode(ids)

    @pytest.mark.parametrize("characters", ["ba", "aab"])
    def test_a_vocabulary_is_in_order(self, characters):
        with pytest.raises(InputError, match="once, in order"):
            Vocabulary(characters)

    @pytest.mark.parametrize(("n", "length", "stride"), [(11, 3, 1), (11, 3, 3), (10, 3, 3), (4, 3, 2), (9, 1, 4)])
    def test_windows_are_all_that_fit_with_what_comes_next(self, n, length, stride):
        ids = np.arange(n) * 10
        inputs, targets = next_character_windows(ids, length, stride=stride)
        starts = range(0, n - length, stride)
        assert inputs.tolist() == [ids[i : i + length].tolist() for i in starts]
        assert targets.tolist() == [ids[i + 1 : i + 1 + length].tolist() for i in starts]
        assert len(inputs) == 1 + (n - 1 - length) // stride

    def test_windows_are_views_of_arrays_and_memory_maps(self, tmp_path):
        ids = np.arange(100, dtype=np.int32)
        np.save(tmp_path / "ids.npy", ids)
        for source in ids, np.load(tmp_path / "ids.npy", mmap_mode="r"):
            windows = next_character_windows(source, 10)
            assert all(np.shares_memory(one, source) for one in windows)
            for inputs, targets in Batches(windows, 8, seed=0)(0):
                np.testing.assert_array_equal(inputs + 1, targets)
                np.testing.assert_array_equal(np.diff(inputs), 1)
        part, _ = split(next_character_windows(np.load(tmp_path / "ids.npy", mmap_mode="r"), 10), (40, 50), seed=0)
        assert part[0].shape == (40, 10)

    @pytest.mark.parametrize(("ids", "length", "stride"), [(np.arange(3), 3, 1), (np.ones((5, 5)), 2, 1)])
    def test_windows_need_text(self, ids, length, stride):
        with pytest.raises(InputError, match="for the last target"):
            next_character_windows(ids, length, stride=stride)

    @pytest.mark.parametrize(("length", "stride"), [(0, 1), (1, 0)])
    def test_windows_have_a_length(self, length, stride):
        with pytest.raises(
            InputError, match=r"next_character_windows needs (length|stride) as a whole number of at least 1, got 0"
        ):
            next_character_windows(np.arange(9), length, stride=stride)

    def test_files_are_utf_8(self, tmp_path):
        path = tmp_path / "text.txt"
        path.write_bytes("Bär\r\n".encode())
        assert read_text(path) == "Bär\n"
        path.write_bytes("Bär".encode("latin-1"))
        with pytest.raises(InputError, match=r"text.txt is not UTF-8: byte 1 is e4"):
            read_text(path)

    def test_tiny_shakespeare(self, tmp_path):
        with pytest.raises(InputError, match=r"tinyshakespeare.txt was expected: download=True"):
            tiny_shakespeare(tmp_path)
        (tmp_path / "tinyshakespeare.txt").write_text("First Citizen:")
        assert tiny_shakespeare(tmp_path) == "First Citizen:"


def write_pgm(path, pixels):
    """The simplest format there is: a line with the size, and the bytes."""
    height, width = pixels.shape[:2]
    head = b"P6" if pixels.ndim == 3 else b"P5"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + f" {width} {height} 255\n".encode() + pixels.astype(np.uint8).tobytes())


class TestImageFolder:
    GREY = RANDOM.integers(0, 256, (3, 4, 6))
    COLOUR = RANDOM.integers(0, 256, (4, 6, 3))

    @pytest.fixture
    def folder(self, tmp_path):
        write_pgm(tmp_path / "dog" / "b.pgm", self.GREY[1])
        write_pgm(tmp_path / "dog" / "deeper" / "a.PPM", self.COLOUR)
        write_pgm(tmp_path / "cat" / "9.pgm", self.GREY[0])
        (tmp_path / "cat" / "notes.txt").write_text("no image")
        (tmp_path / "cat" / "._9.pgm").write_text("what macOS leaves behind")
        write_pgm(tmp_path / "cat" / ".ipynb_checkpoints" / "9-checkpoint.pgm", self.GREY[0])
        (tmp_path / ".cache").mkdir()
        return tmp_path

    def test_may_be_in_a_hidden_one(self, folder):
        (folder / "dog").rename(folder / ".cache" / "dog")
        assert len(image_folder(folder / ".cache")[0]) == 2

    def test_has_a_class_for_each_directory(self, folder):
        images, labels, classes = image_folder(folder)
        assert (images.shape, images.dtype, images.ndim, len(images)) == ((3, 4, 6, 3), np.uint8, 4, 3)
        assert (labels.tolist(), labels.dtype, classes) == ([0, 1, 1], np.int32, ("cat", "dog"))
        everything = np.asarray(images)
        np.testing.assert_array_equal(everything[0], np.repeat(self.GREY[0][..., None], 3, axis=2))
        np.testing.assert_array_equal(everything[2], self.COLOUR)
        np.testing.assert_array_equal(images[1], everything[1])
        np.testing.assert_array_equal(images[np.array([2, 0])], everything[[2, 0]])
        assert np.asarray(images, np.float32).dtype == np.float32

    def test_may_be_counted_as_another_one_that_has_more_classes(self, folder):
        _, labels, classes = image_folder(folder, classes=("bird", "dog", "cat"))
        assert (labels.tolist(), classes) == ([2, 1, 1], ("bird", "dog", "cat"))
        with pytest.raises(InputError, match="directory dog, which is none of the classes cat, bird"):
            image_folder(folder, classes=("cat", "bird"))
        with pytest.raises(InputError, match="one name each, got cat, dog, cat"):
            image_folder(folder, classes=("cat", "dog", "cat"))

    def test_is_a_data_set(self, folder):
        images, labels, _ = image_folder(folder, mode="L")
        (batch,) = Batches((images, labels), 3, seed=0)(0)
        assert batch[0].shape == (3, 4, 6, 1)
        np.testing.assert_array_equal(batch[0][batch[1].argmin(), ..., 0], self.GREY[0])
        training, _ = split((images, labels), (2, 1), seed=0)
        assert training[0].shape == (2, 4, 6, 1)

    def test_reads_files_only_when_they_are_asked_for(self, folder):
        images, _, _ = image_folder(folder, size=4)
        (folder / "cat" / "9.pgm").unlink()
        assert images[1:].shape == (2, 4, 4, 3)
        with pytest.raises(InputError, match=r"9\.pgm cannot be read"):
            images[0]

    def test_covers_the_size_and_cuts_to_its_middle(self, tmp_path):
        stripes = np.tile(np.array([10, 10, 80, 80, 80, 80, 200, 200]), (4, 1))  # 4 x 8, the middle is 80
        write_pgm(tmp_path / "class" / "wide.pgm", stripes)
        write_pgm(tmp_path / "class" / "high.pgm", stripes.T)
        images, _, _ = image_folder(tmp_path, size=4, mode="L")
        assert np.asarray(images).shape == (2, 4, 4, 1)
        assert set(np.asarray(images).ravel().tolist()) == {80}
        images, _, _ = image_folder(tmp_path, size=(2, 4), mode="L")
        assert images[1].shape == (2, 4, 1)
        assert images[1][0, 0, 0] < 80 < images[1][0, 3, 0]

    @pytest.mark.parametrize("size", [np.int64(5), (np.uint8(5), 5), [5, np.int32(5)]])
    def test_sizes_may_have_been_computed_by_numpy(self, folder, size):
        images, _, _ = image_folder(folder, size=size)
        assert images.shape == np.asarray(images).shape == (3, 5, 5, 3)
        assert list(map(type, images.shape)) == [int] * 4

    def test_turns_photographs_upright(self, tmp_path):
        from PIL import Image

        (tmp_path / "class").mkdir()
        exif = Image.Exif()
        exif[0x0112] = 6  # orientation: the camera was held upright, turn right by 90 degrees
        Image.fromarray(self.COLOUR.astype(np.uint8)).save(tmp_path / "class" / "1.png", exif=exif)
        images, _, _ = image_folder(tmp_path)
        np.testing.assert_array_equal(images[0], np.rot90(self.COLOUR, -1))

    def test_says_which_image_has_another_size(self, folder):
        write_pgm(folder / "dog" / "z.pgm", self.GREY[0].T)
        images, _, _ = image_folder(folder)
        with pytest.raises(InputError, match=r"z\.pgm is 6 x 4 pixels.*9\.pgm is 4 x 6.*size="):
            np.asarray(images)

    def test_says_which_image_is_damaged(self, folder):
        (folder / "dog" / "b.pgm").write_bytes((folder / "dog" / "b.pgm").read_bytes()[:-5])
        (folder / "dog" / "c.png").write_bytes(b"no image at all")
        (folder / "dog" / "d.pgm").write_bytes(b"P5 6 4\x8b 255\n")
        images, _, _ = image_folder(folder)
        for i, name in (1, "b.pgm"), (2, "c.png"), (3, "d.pgm"):
            with pytest.raises(InputError, match=f"{name} cannot be read as an image"):
                images[i]

    def test_refuses_images_that_it_would_cut_off(self, tmp_path):
        from PIL import Image

        (tmp_path / "class").mkdir()
        Image.fromarray(np.full((2, 2), 40000, np.uint16)).save(tmp_path / "class" / "1.png")
        with pytest.raises(InputError, match=r"1\.png has more than 8 bits"):
            image_folder(tmp_path)

    def test_says_what_a_folder_lacks(self, folder):
        with pytest.raises(InputError, match="nowhere is no folder"):
            image_folder(folder / "nowhere")
        with pytest.raises(InputError, match="has no directories"):
            image_folder(folder / "dog" / "deeper")
        (folder / "empty").mkdir()
        with pytest.raises(InputError, match="empty has no images"):
            image_folder(folder)

    @pytest.mark.parametrize("size", [0, (2, 0), (1, 2, 3), (2.0, 2.0), 2.5, True, "22"])
    def test_refuses_other_sizes_and_modes(self, folder, size):
        with pytest.raises(InputError, match="the size of images"):
            image_folder(folder, size=size)
        with pytest.raises(InputError, match="'CMYK'"):
            image_folder(folder, mode="CMYK")

    def test_says_what_to_install(self, folder, monkeypatch):
        monkeypatch.setitem(sys.modules, "PIL.Image", None)
        with pytest.raises(ImportError, match=r'pip install "fdl\[data\]"'):
            image_folder(folder)
