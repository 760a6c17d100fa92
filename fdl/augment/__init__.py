"""Augmentation: images that differ from those of the data set and are still of their class.

Every function is f(key, images, ...) -> images for a batch [N, H, W, C]: pure, batched, with a draw of its own for each
image, made to be compiled into the training step. What is seen after a draw has a function too (`rotate` is the core of
`random_rotation`), and so has what several do together (`chain`). See `fdl.augment.images` for what images are.
"""

from fdl.augment.color import brightness, contrast, grayscale, hue, saturation, sharpness
from fdl.augment.compose import chain, on_images
from fdl.augment.crops import crop, crop_and_resize, random_crop, random_resized_crop
from fdl.augment.evaluation_crops import center_crop, mean_over_crops, ten_crops
from fdl.augment.flips import flip, random_flip, random_vertical_flip
from fdl.augment.geometry import rotate, shear, translate, warp
from fdl.augment.mixing import cutmix, mix, mixup, paste
from fdl.augment.noise import cutout, erase, gaussian_noise, masking_noise, pca_color_noise
from fdl.augment.policies import RAND_AUGMENT, TRIVIAL_AUGMENT, policy_operations, rand_augment, trivial_augment
from fdl.augment.random_color import random_brightness, random_contrast, random_hue, random_saturation
from fdl.augment.random_geometry import random_affine, random_rotation, random_shear, random_translation
from fdl.augment.tones import autocontrast, equalize, posterize, solarize

__all__ = [
    "RAND_AUGMENT",
    "TRIVIAL_AUGMENT",
    "autocontrast",
    "brightness",
    "center_crop",
    "chain",
    "contrast",
    "crop",
    "crop_and_resize",
    "cutmix",
    "cutout",
    "equalize",
    "erase",
    "flip",
    "gaussian_noise",
    "grayscale",
    "hue",
    "masking_noise",
    "mean_over_crops",
    "mix",
    "mixup",
    "on_images",
    "paste",
    "pca_color_noise",
    "policy_operations",
    "posterize",
    "rand_augment",
    "random_affine",
    "random_brightness",
    "random_contrast",
    "random_crop",
    "random_flip",
    "random_hue",
    "random_resized_crop",
    "random_rotation",
    "random_saturation",
    "random_shear",
    "random_translation",
    "random_vertical_flip",
    "rotate",
    "saturation",
    "sharpness",
    "shear",
    "solarize",
    "ten_crops",
    "translate",
    "trivial_augment",
    "warp",
]
