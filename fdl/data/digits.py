"""The digits that come with scikit-learn: real handwriting without a download."""

import numpy as np

from fdl.extras import imported


def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 handwritten digits, scanned and reduced to 8 x 8 pixels.

    Returns:
        (images, labels): [1797, 8, 8], float32 from 0 (paper) to 1 (ink), and [1797], int32 from 0 to 9.

    Raises:
        ImportError: when scikit-learn, which has the file, is not installed.

    Source: Alpaydin and Kaynak, "Optical recognition of handwritten digits" (1998), its test set.

    Example:
        >>> images, labels = digits()
        >>> images.shape, labels[:5].tolist()
        ((1797, 8, 8), [0, 1, 2, 3, 4])
    """
    scans = imported("sklearn.datasets", "the digits come with scikit-learn", "data").load_digits()
    return (scans.images / 16).astype(np.float32), scans.target.astype(np.int32)
