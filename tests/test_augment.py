"""Augmentation: what is seen after each draw, how draws are distributed, and where it stands in training."""

import colorsys
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy.special import betainc

from fdl import InputError, Layer, augment
from fdl.augment import (
    RAND_AUGMENT,
    TRIVIAL_AUGMENT,
    chain,
    crop,
    crop_and_resize,
    cutmix,
    cutout,
    erase,
    flip,
    gaussian_noise,
    masking_noise,
    mean_over_crops,
    mix,
    mixup,
    on_images,
    paste,
    pca_color_noise,
    rand_augment,
    random_affine,
    random_brightness,
    random_crop,
    random_flip,
    random_resized_crop,
    random_rotation,
    random_shear,
    random_translation,
    random_vertical_flip,
    rotate,
    shear,
    ten_crops,
    translate,
    trivial_augment,
    warp,
)
from fdl.augment.mixing import symmetric_beta
from fdl.layers import Affine, Dropout, Flatten, Serial
from fdl.losses import softmax_cross_entropy
from fdl.optim import sgd
from fdl.train import (
    accuracy,
    check_batch,
    init_train_state,
    make_eval_step,
    make_train_step,
    supervised,
    top_k_accuracy,
)

KEY = jax.random.key(0)
AXES = np.array([[0.3, 0.2, 0.1], [0.0, 0.1, -0.1]], np.float32)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3), dtype=np.uint8)
FLOATS = IMAGES.astype(np.float32) / 255

RANDOM = {
    name: getattr(augment, name)
    for name in [
        *("random_flip", "random_vertical_flip", "random_crop", "random_rotation", "random_translation"),
        *("random_shear", "random_affine", "random_brightness", "random_contrast", "random_saturation", "random_hue"),
        *("gaussian_noise", "masking_noise", "cutout", "rand_augment", "trivial_augment"),
    ]
} | {
    "random_resized_crop": partial(random_resized_crop, size=(9, 7)),
    "pca_color_noise": lambda key, images: pca_color_noise(key, images, AXES[:, : images.shape[-1]]),
    "mixup": lambda key, images: mixup(key, (images, jnp.zeros(len(images), int)), classes=3)[0],
    "cutmix": lambda key, images: cutmix(key, (images, jnp.zeros(len(images), int)), classes=3)[0],
}


def uniform(values, low, high):
    """Whether draws are uniform; of a million that are, one would fail (Dvoretzky, Kiefer and Wolfowitz' bound)."""
    values, n = np.sort((np.asarray(values, float) - low) / (high - low)), len(values)
    distance = np.abs(values - (np.arange(n) + 0.5) / n).max() - 0.5 / n
    return distance < math.sqrt(math.log(2e6) / (2 * n))


def ramps(n, height, width):
    """Images whose two channels say where each pixel is, (y, x) from the middle: what was moved says from where."""
    y, x = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    return np.broadcast_to(np.stack(np.meshgrid(y, x, indexing="ij"), -1), (n, height, width, 2)).astype(np.float32)


def maps(images):
    """A and b of the map that the ramps went through: [N, 2, 2] and [N, 2]."""
    i, j = images.shape[1] // 2, images.shape[2] // 2
    images = np.asarray(images, np.float64)
    return np.stack([images[:, i + 1, j] - images[:, i, j], images[:, i, j + 1] - images[:, i, j]], -1), images[:, i, j]


# All of them.


@pytest.mark.parametrize("name", RANDOM)
def test_shapes_and_dtypes_stay(name):
    few, many = {"random_hue": (3, 3), "pca_color_noise": (1, 3)}.get(name, (1, 4))
    for n, channels, dtype in (1, few, jnp.bfloat16), (5, many, jnp.uint8):
        images = jax.ShapeDtypeStruct((n, 9, 7, channels), dtype)
        out = jax.eval_shape(RANDOM[name], KEY, images)
        assert (out.shape, out.dtype) == (images.shape, dtype)


def test_doubles_stay_doubles():
    with jax.enable_x64(True):
        images = jax.ShapeDtypeStruct((2, 9, 7, 3), jnp.float64)
        assert {jax.eval_shape(f, KEY, images).dtype for f in RANDOM.values()} == {jnp.dtype("float64")}


def test_an_empty_batch_stays_empty():
    everything = jax.jit(lambda key, images: [f(key, images) for f in RANDOM.values()])
    assert {out.shape for out in everything(KEY, FLOATS[:0])} == {(0, 9, 7, 3)}


@pytest.mark.parametrize("name", [*RANDOM, "sharpness", "cutout of a colour"])
def test_jaxs_strict_settings_refuse_nothing(name):
    others = {
        "sharpness": lambda key, images: augment.sharpness(images, 0.5),
        "cutout of a colour": partial(cutout, fill=(0, 1, 0)),
    }
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        for images in (IMAGES, FLOATS, FLOATS.astype(jnp.bfloat16)):
            assert jax.jit((RANDOM | others)[name])(KEY, images).dtype == images.dtype


@pytest.mark.parametrize("name", ["random_crop", "random_brightness"])
def test_compiled_is_what_runs_step_by_step_and_each_image_has_a_draw_of_its_own(name):
    f, same = RANDOM[name], np.repeat(FLOATS[:1], 12, 0)
    out = np.asarray(jax.jit(f)(KEY, same))
    np.testing.assert_allclose(out, f(KEY, same), rtol=1e-5, atol=1e-6)
    assert len(np.unique(out.reshape(12, -1), axis=0)) > 6
    assert not np.array_equal(out, f(jax.random.key(1), same))


# Flips and crops.


def test_flips():
    where = np.array([True, False, True, False])
    mirrored = jax.jit(flip, static_argnums=2)(IMAGES, where, 2)
    np.testing.assert_array_equal(mirrored[::2], IMAGES[::2, :, ::-1])
    np.testing.assert_array_equal(mirrored[1::2], IMAGES[1::2])
    np.testing.assert_array_equal(flip(flip(IMAGES, where, 1), where, 1), IMAGES)
    np.testing.assert_array_equal(flip(IMAGES, ~where, 1)[1::2], IMAGES[1::2, ::-1])


def test_probabilities_of_flips():
    flips = jax.jit(lambda p: (random_flip(KEY, IMAGES, 1.0), random_flip(KEY, IMAGES, 0.0)))(0)
    np.testing.assert_array_equal(flips[0], IMAGES[:, :, ::-1])
    np.testing.assert_array_equal(flips[1], IMAGES)
    np.testing.assert_array_equal(jax.jit(partial(random_vertical_flip, probability=1))(KEY, IMAGES), IMAGES[:, ::-1])
    pairs = np.tile(np.array([0, 1]).reshape(1, 1, 2, 1), (10_000, 1, 1, 1))
    flipped = np.asarray(jax.jit(partial(random_flip, probability=0.3))(KEY, pairs))[:, 0, 0, 0]
    assert abs(flipped.mean() - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 10_000)


def test_crops_are_windows_of_the_padded_image_and_all_are_as_likely():
    n, padding = 9_000, 1
    image = np.arange(1, 21, dtype=np.uint8).reshape(1, 4, 5, 1)
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=99)
    windows = [padded[0, i : i + 4, j : j + 5].tobytes() for i in range(3) for j in range(3)]
    crops = jax.jit(partial(random_crop, padding=padding, fill=99))(KEY, np.repeat(image, n, 0))
    seen = [one.tobytes() for one in np.asarray(crops)]
    counts = np.array([seen.count(window) for window in windows])
    assert counts.sum() == n
    assert np.all(np.abs(counts - n / 9) < 5 * np.sqrt(n / 9))


def test_windows_that_would_reach_beyond_the_image_are_moved_back_into_it():
    corners = np.array([[-1, 5], [-30, -1], [8, 7], [3, -2]])
    crops = jax.jit(crop, static_argnames="size")(IMAGES, corners, size=(4, 3))
    for image, one, (i, j) in zip(IMAGES, crops, [(0, 4), (0, 0), (5, 4), (3, 0)], strict=True):
        np.testing.assert_array_equal(one, image[i : i + 4, j : j + 3])


def test_reflected_padding_and_other_sizes():
    out = random_crop(KEY, IMAGES, 2, size=(13, 11), mode="reflect")
    np.testing.assert_array_equal(out, np.pad(IMAGES, ((0, 0), (2, 2), (2, 2), (0, 0)), "reflect"))
    assert random_crop(KEY, IMAGES, 0, size=3).shape == (4, 3, 3, 3)


def bilinear(image, y, x, fill=None):
    """The textbook: between four pixels, in a plane of ``fill`` or with the rim repeated."""
    height, width = image.shape[:2]

    def at(i, j):
        if fill is not None and not (0 <= i < height and 0 <= j < width):
            return np.full(image.shape[2], fill)
        return image[min(max(i, 0), height - 1), min(max(j, 0), width - 1)]

    i, j = math.floor(y), math.floor(x)
    return sum((1 - abs(y - p)) * (1 - abs(x - q)) * at(p, q).astype(float) for p in (i, i + 1) for q in (j, j + 1))


def test_boxes_are_resized_by_interpolation():
    boxes = np.array([[0, 0, 9, 7], [2.5, 1.25, 4, 3.5], [-1, -2, 12, 11], [8, 6, 1, 1]], np.float32)
    resize = jax.jit(crop_and_resize, static_argnames="size")
    np.testing.assert_allclose(resize(FLOATS, boxes, size=(9, 7))[0], FLOATS[0], atol=1e-6)
    out = resize(FLOATS, boxes, size=(3, 4))
    for image, (top, left, height, width), one in zip(FLOATS, boxes, out, strict=True):
        for i in range(3):
            for j in range(4):
                y = np.clip(top + (i + 0.5) * height / 3 - 0.5, 0, 8)
                x = np.clip(left + (j + 0.5) * width / 4 - 0.5, 0, 6)
                np.testing.assert_allclose(one[i, j], bilinear(image, y, x), atol=1e-5)


def test_boxes_of_class_ids_are_resized_to_the_nearest():
    boxes = np.array([[0, 0, 9, 7], [2.5, 1.25, 4, 3.5], [-1, -2, 12, 11], [8, 6, 1, 1]], np.float32)
    out = jax.jit(partial(crop_and_resize, size=(3, 4), method="nearest"))(IMAGES, boxes)
    for image, (top, left, height, width), one in zip(IMAGES, boxes, out, strict=True):
        y = np.floor(np.clip(top + (np.arange(3) + 0.5) * height / 3 - 0.5, 0, 8) + 0.5).astype(int)
        x = np.floor(np.clip(left + (np.arange(4) + 0.5) * width / 4 - 0.5, 0, 6) + 0.5).astype(int)
        np.testing.assert_array_equal(one, image[y][:, x])


MOVING = {
    "random_flip": random_flip,
    "random_crop": random_crop,
    "random_affine": partial(random_affine, max_degrees=40, max_shift=0.2, zoom=(0.5, 2), method="nearest"),
    "random_resized_crop": partial(random_resized_crop, size=9, method="nearest"),
}


@pytest.mark.parametrize("name", MOVING)
def test_a_mask_follows_its_images_whatever_their_dtypes(name):
    ids = np.random.default_rng(1).integers(0, 4, (5, 9, 9, 1), dtype=np.uint8)
    with jax.enable_x64(True):
        move = jax.jit(MOVING[name])
        moved = move(KEY, ids)
        assert set(np.unique(moved)) <= {0, 1, 2, 3}
        for dtype in (jnp.bfloat16, np.float32, np.float64):
            np.testing.assert_array_equal(np.asarray(move(KEY, ids.astype(dtype)), np.uint8), moved)


def test_areas_aspects_and_places_of_resized_crops():
    height, width, n = 60, 90, 2_000
    out = jax.jit(partial(random_resized_crop, size=2, area=(0.1, 0.9)))(KEY, ramps(n, height, width))
    out = np.asarray(out, np.float64) + np.array([height, width]) / 2
    size = np.stack([out[:, 1, 0, 0] - out[:, 0, 0, 0], out[:, 0, 1, 1] - out[:, 0, 0, 1]], 1) * 2
    corner = out[:, 0, 0] - size / 4
    area, aspect = size.prod(1) / (height * width), size[:, 1] / size[:, 0]
    assert uniform(area, 0.1, 0.9)
    fits = area < 0.5  # every aspect ratio does, from 3/4 to 4/3
    assert uniform(np.log(aspect[fits]), math.log(3 / 4), math.log(4 / 3))
    assert aspect.min() > 3 / 4 - 1e-4
    assert np.all(aspect < np.maximum(4 / 3, 1.5 * area) + 1e-3)
    assert corner.min() > -1e-3
    assert np.all(corner + size < np.array([height, width]) + 1e-3)
    free = size[:, 0] < height - 1
    assert uniform(corner[free, 0] / (height - size[free, 0]), 0, 1)


def test_ten_crops_and_their_mean():
    crops = np.asarray(ten_crops(IMAGES, (5, 4)))
    five = [(0, 0), (0, 3), (4, 0), (4, 3), (2, 1)]
    for i, (top, left) in enumerate(five):
        window = IMAGES[:, top : top + 5, left : left + 4]
        np.testing.assert_array_equal(crops[:, i], window)
        np.testing.assert_array_equal(crops[:, i + 5], window[:, :, ::-1])
    predict = lambda x: {"a": x[:, 0, 0], "b": x.max((1, 2, 3))}  # noqa: E731
    means = mean_over_crops(predict, FLOATS, (5, 4))
    np.testing.assert_allclose(means["a"], (crops[:, :, 0, 0] / 255).mean(1), rtol=1e-5)
    np.testing.assert_allclose(means["b"], (crops.max((2, 3, 4)) / 255).mean(1), rtol=1e-5)


# Affine maps.

WARP, ROTATE, TRANSLATE, SHEAR = (jax.jit(f, static_argnames="method") for f in (warp, rotate, translate, shear))


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
def test_warps_look_where_the_matrix_says(method):
    matrices = np.random.default_rng(1).normal(size=(4, 2, 3)).astype(np.float32)
    out = WARP(FLOATS, matrices, method=method, fill=0.5)
    for image, matrix, one in zip(FLOATS, matrices, out, strict=True):
        for i in range(9):
            for j in range(7):
                y, x = matrix[:, :2] @ np.array([i - 4, j - 3]) + matrix[:, 2] + np.array([4, 3])
                if method == "nearest":
                    y, x = math.floor(y + 0.5), math.floor(x + 0.5)
                np.testing.assert_allclose(one[i, j], bilinear(image, y, x, fill=0.5), atol=1e-5)


def test_doing_nothing_changes_no_bit_and_far_away_is_fill():
    nothing, away = np.eye(2, 3), np.array([[1, 0, 1e30], [0, 1, -1e30]])
    for images in IMAGES, FLOATS:
        np.testing.assert_array_equal(WARP(images, nothing), images)
    np.testing.assert_array_equal(WARP(IMAGES, away, fill=7), np.full_like(IMAGES, 7))


def test_rotation_is_counter_clockwise_as_in_pillow():
    square = FLOATS[:, :7]
    quarter = ROTATE(square, np.array([90.0, 180.0, -90.0, 0.0]))
    for one, image, turns in zip(quarter, square, (1, 2, 3, 0), strict=True):
        np.testing.assert_allclose(one, np.rot90(image, turns), atol=1e-5)
    smooth = np.asarray(Image.fromarray(IMAGES[0]).resize((48, 64), Image.Resampling.BICUBIC))
    ours = np.asarray(ROTATE(smooth[None], 25.0)[0], int)
    pillows = np.asarray(Image.fromarray(smooth).rotate(25, Image.Resampling.BILINEAR), int)
    assert np.abs(ours - pillows)[20:44, 12:36].max() <= 2


def test_translation_and_shear():
    np.testing.assert_array_equal(TRANSLATE(IMAGES, (2, -1))[:, 2:, :-1], IMAGES[:, :-2, 1:])
    sheared = np.asarray(SHEAR(IMAGES, (0, 1), method="nearest"))
    for i in range(9):
        moved = i - 4
        for j in range(7):
            expected = IMAGES[:, i, j - moved] if 0 <= j - moved < 7 else np.zeros_like(IMAGES[:, 0, 0])
            np.testing.assert_array_equal(sheared[:, i, j], expected)
    upright = SHEAR(np.swapaxes(IMAGES, 1, 2), (1, 0), method="nearest")
    np.testing.assert_array_equal(np.swapaxes(upright, 1, 2), sheared)


def test_draws_of_affine_maps():
    images = ramps(2_000, 15, 11)
    moves = partial(random_rotation, max_degrees=30), partial(random_translation, max_shift=0.2)
    moves += (partial(random_shear, max_slope=0.4),)
    rotated, translated, sheared = jax.jit(lambda images: [move(KEY, images) for move in moves])(images)
    a, b = maps(rotated)
    np.testing.assert_allclose(np.linalg.det(a), 1, atol=1e-4)
    np.testing.assert_allclose(b, 0, atol=1e-5)
    assert uniform(np.degrees(np.arctan2(a[:, 0, 1], a[:, 0, 0])), -30, 30)
    a, b = maps(translated)
    np.testing.assert_allclose(a, np.broadcast_to(np.eye(2), a.shape), atol=1e-5)
    assert uniform(b[:, 0], -3, 3)
    assert uniform(b[:, 1], -2.2, 2.2)
    a, _ = maps(sheared)
    assert uniform(a[:, 0, 1], -0.4, 0.4)
    assert uniform(a[:, 1, 0], -0.4, 0.4)
    every = partial(random_affine, max_degrees=20, max_shift=0.1, max_slope=0.1, zoom=(0.8, 1.5))
    a, b = maps(jax.jit(every)(KEY, images))
    shift = -np.linalg.solve(a, b[..., None])[..., 0]  # y = A x + b is undone by x = A^-1 y + shift
    assert uniform(shift[:, 0], -1.5, 1.5)
    assert uniform(shift[:, 1], -1.1, 1.1)
    factor = np.sqrt(1 / np.linalg.det(a))  # the shear's determinant is 1 up to a hundredth
    assert 0.79 < factor.min() < 0.85
    assert 1.45 < factor.max() < 1.52


# Colour, against Pillow.

PICTURE = np.asarray(Image.fromarray(IMAGES[1]).resize((40, 30), Image.Resampling.BICUBIC))
GREYS = np.repeat((40 + np.arange(1200) ** 2 // 16_000).astype(np.uint8).reshape(30, 40, 1), 3, 2)


@pytest.mark.parametrize(
    ("ours", "pillows", "levels"),
    [
        *[
            (lambda x, n=name, f=factor: getattr(augment, n)(x, f), lambda x, e=e, f=factor: e(x).enhance(f), 2)
            for name, e in {
                "brightness": ImageEnhance.Brightness,
                "contrast": ImageEnhance.Contrast,
                "saturation": ImageEnhance.Color,
                "sharpness": ImageEnhance.Sharpness,
            }.items()
            for factor in (0.3, 1.8)
        ],
        (lambda x: augment.posterize(x, 3), lambda x: ImageOps.posterize(x, 3), 0),
        (lambda x: augment.solarize(x, 100 / 255), lambda x: ImageOps.solarize(x, 100), 0),
        (augment.autocontrast, ImageOps.autocontrast, 1),
        (augment.equalize, ImageOps.equalize, 0),
    ],
)
def test_colours_are_those_of_pillow(ours, pillows, levels):
    pictures = np.stack([PICTURE, GREYS])
    expected = np.stack([np.asarray(pillows(Image.fromarray(picture)), int) for picture in pictures])
    in_bytes, in_floats = jax.jit(lambda x, y: (ours(x), ours(y)))(pictures, pictures / np.float32(255))
    assert np.abs(np.asarray(in_bytes, int) - expected).max() <= levels
    np.testing.assert_allclose(in_floats * 255, in_bytes, atol=0.501)


def test_grey_and_hue():
    grey = np.asarray(Image.fromarray(PICTURE).convert("L"), int)
    assert np.abs(np.asarray(jax.jit(augment.grayscale)(PICTURE[None])[0, ..., 0], int) - grey).max() <= 1
    turned = np.asarray(jax.jit(augment.hue)(FLOATS, np.array([0.0, 0.2, -0.4, 1.0])))
    for image, out, turn in zip(FLOATS, turned, (0.0, 0.2, -0.4, 1.0), strict=True):
        for pixel, result in zip(image.reshape(-1, 3), out.reshape(-1, 3), strict=True):
            h, s, v = colorsys.rgb_to_hsv(*map(float, pixel))
            np.testing.assert_allclose(result, colorsys.hsv_to_rgb((h + turn) % 1, s, v), atol=2e-5)


def test_factors_of_colours():
    grey = np.full((3_000, 1, 1, 1), 0.5, np.float32)
    assert uniform(np.asarray(jax.jit(augment.random_brightness)(KEY, grey)).ravel() / 0.5, 0.6, 1.4)
    changes = augment.random_brightness, augment.random_contrast, augment.random_saturation
    for unchanged in jax.jit(lambda images: [change(KEY, images, 0.0) for change in changes])(FLOATS):
        np.testing.assert_allclose(unchanged, FLOATS, atol=1e-6)


# Noise and gaps.


def test_noise():
    noise = np.asarray(jax.jit(gaussian_noise)(KEY, np.full((4, 50, 50, 3), 9, np.float32))) - 9  # is not cut off
    assert abs(noise.mean()) < 5 * 0.05 / math.sqrt(noise.size)
    assert abs(noise.std() / 0.05 - 1) < 5 / math.sqrt(2 * noise.size)
    of_bytes = jax.jit(partial(gaussian_noise, std=0.01))(KEY, np.full((1, 50, 50, 1), 254, np.uint8))
    assert set(np.unique(of_bytes)) >= {250, 254, 255}


def test_masking_noise_loses_whole_pixels_at_its_rate():
    left = np.asarray(jax.jit(partial(masking_noise, rate=0.2))(KEY, np.full((4, 50, 50, 3), 9, np.uint8))) / 9
    assert set(np.unique(left.sum(-1))) == {0, 3}
    assert abs(left[..., 0].mean() - 0.8) < 5 * math.sqrt(0.8 * 0.2 / 10_000)


def test_colour_noise_varies_along_the_axes():
    out = jax.jit(partial(pca_color_noise, strength=0.5))(KEY, np.zeros((20_000, 2, 1, 3), np.float32), AXES)
    noise = np.asarray(out[:, 0, 0], np.float64)
    np.testing.assert_array_equal(out[:, 0], out[:, 1])
    np.testing.assert_allclose(noise.T @ noise / len(noise), 0.25 * AXES.T @ AXES, atol=1e-3)


def test_cutout_erases_a_square_around_any_pixel():
    n, size, half = 6_300, 5, 2
    out = np.asarray(jax.jit(partial(cutout, size=size, fill=2))(KEY, np.ones((n, 9, 7, 1), np.uint8)))[..., 0]
    middles = np.zeros((9, 7), int)
    for one in out == 2:
        rows, columns = np.flatnonzero(one.any(1)), np.flatnonzero(one.any(0))
        assert one.sum() == len(rows) * len(columns)  # one rectangle
        i = rows[0] + half if len(rows) == size or rows[0] > 0 else rows[-1] - half
        j = columns[0] + half if len(columns) == size or columns[0] > 0 else columns[-1] - half
        middles[i, j] += 1
    assert np.all(np.abs(middles - n / 63) < 5 * math.sqrt(n / 63))
    erased = erase(np.ones((1, 3, 3, 1), bool), np.array([[0, 1]]), (1, 9))
    assert erased[0, ..., 0].tolist() == [[True, False, False], [True] * 3, [True] * 3]


@pytest.mark.parametrize(
    "augment",
    [
        partial(cutout, KEY, size=20),
        partial(random_crop, KEY, padding=30, size=(2, 2)),
        partial(translate, shifts=(100, 0)),
        partial(random_translation, jax.random.key(3), max_shift=1.0),
    ],
)
@pytest.mark.parametrize("images", [IMAGES, FLOATS, FLOATS.astype(jnp.bfloat16)], ids=lambda x: x.dtype.name)
def test_gaps_are_filled_with_a_colour(augment, images):
    colour = (11, 12, 13) if images.dtype == np.uint8 else (-0.5, -0.25, -1.0)
    filled = np.asarray(jax.jit(partial(augment, fill=colour))(images=images))
    black = np.asarray(augment(images=images))
    gaps = (black == 0).all(-1)
    assert gaps.mean() > 0.2
    assert filled.dtype == images.dtype
    np.testing.assert_array_equal((filled == np.array(colour, images.dtype)).all(-1), gaps)


def test_corners_of_rectangles_may_be_bytes():
    erased = erase(jnp.ones((1, 300, 300, 1)), jnp.array([[200, 220]], jnp.uint8), 60)
    assert (int((erased == 0).sum()), float(erased[0, 200:260, 220:280].max())) == (60 * 60, 0)


# Mixtures.


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 4.0])
def test_shares_have_the_beta_distribution(alpha):
    shares = np.asarray(jax.jit(symmetric_beta, static_argnums=2)(KEY, alpha, 10_000))
    for share in 0.001, 0.05, 0.3, 0.5, 0.7, 0.95, 0.999:
        below = betainc(alpha, alpha, share)
        assert abs(np.mean(shares < share) - below) < 5 * math.sqrt(below * (1 - below) / 10_000)


@pytest.mark.parametrize("labels", ["ids", "distributions"])
def test_mixup_mixes_labels_as_it_mixes_images(labels):
    n, classes = 64, 64
    images = np.eye(n, dtype=np.float32).reshape(n, 8, 8, 1)  # each pixel says how much of which image is there
    given = np.arange(n) if labels == "ids" else np.eye(n, dtype=np.float32)
    mixed, mixed_labels = jax.jit(partial(mixup, classes=classes if labels == "ids" else None))(KEY, (images, given))
    np.testing.assert_allclose(mixed.reshape(n, n), mixed_labels, atol=1e-6)
    np.testing.assert_allclose(mixed_labels.sum(1), 1, atol=1e-6)
    own = np.diagonal(mixed_labels)
    assert own.min() >= 0.5
    assert np.all((np.asarray(mixed_labels) > 0).sum(1) <= 2)
    partners = np.asarray(mixed_labels - np.diag(own)).argmax(1)[own < 1]
    assert len(set(partners)) == len(partners)


def test_mixed_bytes_are_rounded():
    images = np.array([0, 101], np.uint8).reshape(2, 1, 1, 1)
    mixed, labels = jax.jit(mix)((images, jnp.eye(2)), jnp.array([1, 0]), jnp.array([0.75, 1.0]))
    assert mixed.ravel().tolist() == [25, 101]
    assert labels.tolist() == [[0.75, 0.25], [0.0, 1.0]]


def test_cutmix_counts_pixels():
    n = 50
    images = np.broadcast_to(np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1), (n, 9, 7, 1))
    mixed, labels = jax.jit(partial(cutmix, classes=n))(KEY, (images, np.arange(n)))
    mixed, foreign = np.asarray(mixed)[..., 0], 0
    for i, one in enumerate(mixed):
        np.testing.assert_allclose(labels[i], np.bincount(one.ravel(), minlength=n) / 63, atol=1e-6)
        pasted = one != i
        assert pasted.sum() == pasted.any(0).sum() * pasted.any(1).sum()
        foreign += pasted.any()
    assert foreign > n / 2
    whole = jax.jit(paste)((images[:2], jnp.eye(2)), jnp.array([1, 0]), jnp.array([[-5, -5, 99, 99], [3, 3, 3, 9]]))[1]
    assert whole.tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_boxes_of_cutmix_have_the_share_that_was_drawn():
    n = 2_000
    images = np.broadcast_to(np.arange(n, dtype=np.float32).reshape(n, 1, 1, 1), (n, 20, 30, 1))
    mixed, _ = jax.jit(partial(cutmix, classes=2))(KEY, (images, np.zeros(n, int)))
    # A side l anywhere has l - l^2 / 4 inside on average, and l^2 is uniform.
    expected = 1 / 2 - (1 / 2) * (2 / 5) + (1 / 16) * (1 / 3)
    assert abs(np.mean(mixed != images) - expected) < 0.03


# Policies.


@pytest.mark.parametrize("policy", [partial(rand_augment, layers=1), trivial_augment])
def test_images_are_dealt_to_operations_evenly_and_each_gets_each_as_often(policy):
    operations = {str(i): lambda images, strength, i=i: jnp.full_like(images, i) for i in range(5)}
    draw = jax.jit(jax.vmap(lambda key: policy(key, jnp.zeros((10, 1, 1, 1)), operations=operations).ravel()))
    drawn = np.asarray(draw(jax.random.split(KEY, 1_000)), int)
    counts = np.stack([(drawn == i).sum(0) for i in range(5)])  # [operation, image]
    assert np.all(np.abs(counts - 200) < 5 * math.sqrt(1_000 * 0.2 * 0.8))
    assert np.all(np.sort(drawn, 1) == np.repeat(np.arange(5), 2))


def test_strengths():
    strength = {"strength": lambda images, strength: images + strength[:, None, None, None]}
    zeros = jnp.zeros((3_000, 1, 1, 1))
    of_rand = np.asarray(
        jax.jit(partial(rand_augment, layers=1, magnitude=15, operations=strength))(KEY, zeros)
    ).ravel()
    assert set(of_rand.tolist()) == {-0.5, 0.5}
    assert abs(np.sign(of_rand).mean()) < 5 / math.sqrt(3_000)
    of_trivial = np.asarray(jax.jit(partial(trivial_augment, operations=strength))(KEY, zeros)).ravel() * 30
    assert abs(np.sign(of_trivial).mean()) < 5 / math.sqrt(3_000)
    levels = np.bincount(np.abs(of_trivial).round().astype(int))
    assert len(levels) == 31
    assert np.all(np.abs(levels - 3_000 / 31) < 5 * math.sqrt(3_000 / 31))
    plus_one = {"one": lambda images, strength: images + 1}
    three = jax.jit(partial(rand_augment, layers=3, operations=plus_one))(KEY, zeros[:4])
    assert three.ravel().tolist() == [3.0] * 4


def test_operations():
    assert len(RAND_AUGMENT) == len(TRIVIAL_AUGMENT) == 14
    x, full = PICTURE[None], jnp.array([-1.0])
    run = jax.jit(lambda operation, x, strength: operation(x, strength), static_argnums=0)
    mild = {name: run(f, x, full) for name, f in RAND_AUGMENT.items()}
    wide = {
        name: run(TRIVIAL_AUGMENT[name], x, full)
        for name in ("posterize", "translate_y", "rotate", "shear_x", "brightness")
    }
    changes = {name: getattr(augment, name) for name in ("brightness", "contrast", "saturation", "sharpness")}
    changes = {name: partial(f, factor=0.1) for name, f in changes.items()}
    changes |= {"equalize": augment.equalize, "autocontrast": augment.autocontrast}
    same = jax.jit(lambda x: {name: f(x) for name, f in changes.items()})(x)
    pairs = [
        (mild["identity"], x),
        (mild["posterize"], x // 16 * 16),
        (wide["posterize"], x // 64 * 64),
        (mild["solarize"], 255 - x),
        (mild["shear_x"], SHEAR(x, (0, -0.3), method="nearest")),
        (wide["shear_x"], SHEAR(x, (0, -0.99), method="nearest")),
        (mild["shear_y"], SHEAR(x, (-0.3, 0), method="nearest")),
        (mild["translate_x"], TRANSLATE(x, (0, -40 * 150 / 331), method="nearest")),
        (mild["translate_y"], TRANSLATE(x, (-30 * 150 / 331, 0), method="nearest")),
        (wide["translate_y"], 0 * x),
        (mild["rotate"], ROTATE(x, -30, method="nearest")),
        (wide["rotate"], ROTATE(x, -135, method="nearest")),
        (mild["equalize"], same["equalize"]),
        (mild["autocontrast"], same["autocontrast"]),
    ]
    for i, (ours, expected) in enumerate(pairs):
        np.testing.assert_array_equal(ours, expected, err_msg=str(i))
    assert wide["brightness"].max() <= 3
    for name in "brightness", "contrast", "saturation", "sharpness":
        np.testing.assert_allclose(mild[name].astype(int), same[name].astype(int), atol=1)
    at_rest = {name: run(f, x | 128, jnp.array([0.0])) for name, f in RAND_AUGMENT.items()}
    assert {name for name, y in at_rest.items() if not np.array_equal(y, x | 128)} <= {"autocontrast", "equalize"}


# Together, and in training.


def test_a_chain_gives_each_stage_a_key_of_its_own():
    stages = [lambda key, x, i=i: [*x, (i, jax.random.key_data(key).tolist())] for i in range(3)]
    calls = chain(*stages)(KEY, [])
    assert [i for i, _ in calls] == [0, 1, 2]
    assert len({str(data) for _, data in calls}) == 3
    assert chain(*stages[:2])(KEY, []) == calls[:2]


NET = Serial(Flatten(), Dropout(0.5), Affine(3))
METRICS = {"accuracy": accuracy, "top": partial(top_k_accuracy, k=2)}
LABELS = np.array([0, 1, 2, 1])


def test_without_augmentation_the_objective_draws_what_it_drew():
    params, state = NET.init(KEY, FLOATS)
    value, _ = jax.jit(supervised(NET, softmax_cross_entropy))(params, state, (FLOATS, LABELS), KEY)
    outputs, _ = jax.jit(partial(NET.apply, train=True))(params, state, FLOATS, key=KEY)
    z = np.asarray(outputs, np.float64)
    np.testing.assert_allclose(value, np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(4), LABELS]), rtol=1e-5)


class Watch(Layer):
    """Passes everything on, and tells the key that it was given."""

    keys: list

    def apply(self, params, state, x, *, key=None, train=False):
        self.keys.append(key)
        return x, state


def test_the_network_gets_another_key_than_the_augmentation():
    keys = []
    net, augment = Watch(keys), lambda key, batch: (keys.append(key), batch)[1]
    supervised(net, lambda outputs, targets: outputs, augment=augment)({}, {}, (jnp.ones(2), None), KEY)
    assert len({str(jax.random.key_data(key)) for key in (KEY, *keys)}) == 3


def test_training_augments_with_another_key_in_each_step_and_evaluation_does_not():
    seen = []

    def watch(key, batch):
        jax.debug.callback(lambda data: seen.append(data.tolist()), jax.random.key_data(key))
        return mixup(key, on_images(chain(random_flip, random_crop))(key, batch), classes=3)

    objective = supervised(NET, softmax_cross_entropy, metrics=METRICS, augment=watch)
    optimizer = sgd(0.1)
    train_step, eval_step = make_train_step(objective, optimizer), make_eval_step(objective)
    plain_step = make_eval_step(supervised(NET, softmax_cross_entropy, metrics=METRICS))
    train_state = init_train_state(NET, optimizer, KEY, FLOATS)
    for _ in range(2):
        train_state, metrics = train_step(train_state, (FLOATS, LABELS))
    jax.effects_barrier()
    assert len(seen) == 2
    assert seen[0] != seen[1]
    assert all(np.isfinite(value) for value in metrics.values())
    assert eval_step(train_state, (FLOATS, LABELS)) == plain_step(train_state, (FLOATS, LABELS))
    jax.effects_barrier()
    assert len(seen) == 2


def test_a_distribution_counts_as_its_most_likely_class():
    logits, labels = jnp.array([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0]]), jnp.array([[0.1, 0.6, 0.3], [0.5, 0.4, 0.1]])
    assert accuracy(logits, labels).tolist() == [1.0, 0.0]
    assert top_k_accuracy(logits, labels, 2).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("augment", [random_brightness, chain(random_brightness, random_flip)])
def test_a_first_look_at_a_batch_sees_whether_images_are_shades(augment):
    optimizer = sgd(0.1)
    train_step = make_train_step(supervised(NET, softmax_cross_entropy, augment=on_images(augment)), optimizer)
    train_state = init_train_state(NET, optimizer, KEY, FLOATS)
    check_batch(train_step, train_state, (FLOATS, LABELS))
    with pytest.raises(InputError, match="divide by 255 before, and standardise afterwards"):
        check_batch(train_step, train_state, ((FLOATS - 0.5) * 4, LABELS))


def objective_without_key():
    params, state = NET.init(KEY, FLOATS)
    supervised(NET, softmax_cross_entropy, augment=mixup)(params, state, (FLOATS, LABELS), None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: random_flip(KEY, FLOATS[..., 0]),
            r"random_flip expects images \[N, H, W, C\], got \[4, 9, 7\]: .*None",
        ),
        (lambda: random_flip(FLOATS, KEY), "the key comes first"),
        (lambda: cutout(KEY, FLOATS[:, :0]), r"got \[4, 0, 7, 3\]"),
        (lambda: rotate(IMAGES.astype(int), 3), "rotate expects images as floats or as uint8, got int"),
        (lambda: random_flip(KEY, FLOATS, 2), "random_flip needs probability from 0 to 1, got 2"),
        (lambda: random_crop(KEY, FLOATS, -1), "random_crop needs padding as a whole number of at least 0, got -1"),
        (lambda: random_crop(KEY, FLOATS, mode="edge"), '"constant" or "reflect", got \'edge\''),
        (lambda: random_crop(KEY, FLOATS, 1, size=12), r"window of 12 x 12 out of 11 x 9 pixels"),
        (
            lambda: random_crop(KEY, FLOATS, size=(1, 2, 3)),
            r"a size of at least 1 for each of 2 spatial axes, got \(1, 2, 3\)",
        ),
        (lambda: cutout(KEY, FLOATS, 0), "cutout needs a size of at least 1 for each of 2 spatial axes, got 0"),
        (lambda: cutout(KEY, FLOATS, 2.5), "cutout needs a size of at least 1 .*, got 2.5"),
        (lambda: random_crop(KEY, (FLOATS, LABELS)), r"got a tuple: .* on_images\(random_crop\) is the function"),
        (lambda: rand_augment(KEY, FLOATS, 1.5), "rand_augment needs layers as a whole number of at least 0, got 1.5"),
        (lambda: crop(FLOATS, np.zeros((4, 2)), 2), r"corners as integers \[4, 2\], got float"),
        (lambda: crop_and_resize(FLOATS, np.zeros((4, 2)), 2), r"boxes \[4, 4\], got \[4, 2\]"),
        (lambda: random_resized_crop(KEY, FLOATS, 2, area=(0.5, 2)), r"area as a pair 0 < least <= most <= 1, got"),
        (
            lambda: random_resized_crop(KEY, FLOATS, 2, aspect=(2, 1)),
            r"aspect as a pair 0 < least <= most, got \(2, 1\)",
        ),
        (lambda: flip(FLOATS, np.zeros(4)), r"where as booleans \[4\], got float"),
        (lambda: flip(FLOATS, np.zeros(4, bool), 3), "along axis 1 .* or 2 .*got 3"),
        (lambda: warp(FLOATS, np.zeros((3, 2, 3))), r"matrices \[2, 3\] or \[4, 2, 3\], got \[3, 2, 3\]"),
        (lambda: warp(FLOATS, np.zeros((2, 3)), method="cubic"), '"bilinear" or "nearest", got \'cubic\''),
        (lambda: rotate(FLOATS, np.zeros(3)), r"one angle for all or one for each, \[\] or \[4\], got \[3\]"),
        (lambda: translate(FLOATS, 3), r"one \(down, right\) for all or one for each, \[2\] or \[4, 2\], got \[\]"),
        (lambda: random_rotation(KEY, FLOATS, 200), "max_degrees from 0 to 180, got 200"),
        (lambda: random_affine(KEY, FLOATS, zoom=(0, 1)), r"zoom as a pair 0 < least <= most, got \(0, 1\)"),
        (lambda: random_affine(KEY, FLOATS, max_slope=-0.1), "random_affine needs max_slope of at least 0, got -0.1"),
        (lambda: random_affine(KEY, FLOATS, zoom=2.0), "zoom as a pair 0 < least <= most, got 2.0"),
        (lambda: random_rotation(KEY, FLOATS, (-9, 9)), r"max_degrees as one number from 0 to 180, got \(-9, 9\)"),
        (lambda: gaussian_noise(KEY, FLOATS, np.ones(3)), r"std as one number of at least 0, got \[1. 1. 1.\]"),
        (lambda: augment.brightness(FLOATS, np.ones(3)), r"factor for all or one for each, \[\] or \[4\], got \[3\]"),
        (lambda: augment.random_contrast(KEY, FLOATS, math.nan), "strength from 0 to 1, got nan"),
        (lambda: augment.hue(FLOATS[..., :1], 0.1), "3 channels, red, green and blue, got 1"),
        (lambda: gaussian_noise(KEY, IMAGES, 10), "gaussian_noise needs std from 0 to 1, got 10"),
        (lambda: gaussian_noise(KEY, FLOATS, -0.1), "std of at least 0, got -0.1"),
        (lambda: masking_noise(KEY, FLOATS, 1.5), "rate from 0 to 1, got 1.5"),
        (lambda: pca_color_noise(KEY, FLOATS, np.eye(2)), r"axes \[K, 3\], got \[2, 2\]"),
        (lambda: erase(FLOATS, np.zeros(2), 3), r"corners \[4, 2\], got \[2\]"),
        (lambda: augment.solarize(IMAGES, 128), "in the scale from 0 to 1, for bytes too: 128 / 255, got 128"),
        (lambda: jax.jit(partial(augment.solarize, threshold=128))(IMAGES), "in the scale from 0 to 1"),
        (lambda: augment.posterize(IMAGES, 9), "posterize keeps a number of bits from 0 to 8, got 9"),
        (lambda: augment.posterize(IMAGES, np.array([1, 2, 3, -1])), r"from 0 to 8, got \[ 1  2  3 -1\]"),
        (lambda: cutout(KEY, IMAGES, fill=0.5), "of uint8 images needs fill as a whole number from 0 to 255, got 0.5"),
        (lambda: rotate(IMAGES, 9, fill=(1, 2, 300)), r"uint8 .* from 0 to 255, got \[1, 2, 300\]"),
        (lambda: random_crop(KEY, IMAGES, fill=-1), "random_crop of uint8 images .* got -1"),
        (lambda: random_crop(KEY, FLOATS, fill=(0, 1)), r"3 channels needs one fill .* or \[3\], got \[2\]"),
        (lambda: warp(FLOATS, np.eye(3)[:2], fill=np.ones((9, 7))), r"one fill for all .*, got \[9, 7\]"),
        (lambda: erase(IMAGES > 9, np.zeros((4, 2)), 3, 2), "of bool images needs fill .* from 0 to 1, got 2"),
        (lambda: mixup(KEY, FLOATS), "pair \\(images, labels\\), got a ndarray"),
        (lambda: mixup(KEY, (FLOATS, LABELS)), "how many classes there are: classes=10"),
        (lambda: mixup(KEY, (FLOATS, LABELS), classes=2), r"ids in \[0, 2\), got 2"),
        (lambda: mixup(KEY, (FLOATS, LABELS), classes=3, alpha=0), "mixup needs alpha above 0, got 0: to mix nothing"),
        (
            lambda: cutmix(KEY, (FLOATS, np.eye(4)), classes=3),
            r"distributions, floats \[4, 3\]; got float(32|64) .*\[4, 4\]",
        ),
        (lambda: rand_augment(KEY, FLOATS, magnitude=31), "magnitude from 0 to 30, got 31"),
        (lambda: trivial_augment(KEY, FLOATS, operations={}), "at least one name to an operation, got {}"),
        (lambda: random_brightness(KEY, (FLOATS - 0.5) * 4), "divide by 255 before, and standardise afterwards"),
        (lambda: random_brightness(KEY, FLOATS * 255), "what lies outside is cut off, got 0 to "),
        (lambda: chain(), "at least one stage"),
        (
            lambda: chain(random_flip, 8),
            r"functions of \(key, images\), got a int: settings are fixed by functools.partial",
        ),
        (lambda: chain(lambda key, x: x)(0, FLOATS), "chain expects a JAX random key, .* got 0"),
        (lambda: on_images(random_flip)(KEY, FLOATS), r"pair \(images, labels\), got a ndarray"),
        (objective_without_key, "augment draws at random, and needs a key"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
