"""Image encodings: how a pixel is stored, and how one colour becomes another."""

from __future__ import annotations

import cv2
import numpy as np
from rosbags.image import ImageError
from rosbags.image.image import Format, convert_color, to_cvtype


class CvBridgeError(TypeError):
    """An image that cannot be converted; the text names the encoding or the size."""


DEPTHS = {
    "uint8": "8U",
    "int8": "8S",
    "uint16": "16U",
    "int16": "16S",
    "int32": "32S",
    "float32": "32F",
    "float64": "64F",
}
"""OpenCV's name of each depth by numpy's."""


def pixel_type(encoding: str) -> tuple[str, int]:
    """The numpy dtype and the number of channels of an encoding, such as ("uint8", 3) for rgb8."""
    try:
        _, _, dtype, channels = to_cvtype(encoding)
    except ImageError:
        raise CvBridgeError(f"unknown image encoding {encoding!r}") from None
    return dtype, channels


def convert(image: np.ndarray, source: str, target: str) -> np.ndarray:
    """The image in another encoding; the very same array if there is nothing to convert.

    Between 8 and 16 bits values are scaled, so that white stays white; else they are rounded and
    clipped to the new type. An encoding without a colour meaning, such as 8UC3, converts only to
    and from encodings of as many channels, and never into a colour.
    """
    if source == target:
        return image
    (dtype, channels), (target_dtype, target_channels) = pixel_type(source), pixel_type(target)
    source_format, target_format = to_cvtype(source)[1], to_cvtype(target)[1]
    if Format.GENERIC in (source_format, target_format):
        if channels != target_channels or target_format is not Format.GENERIC:
            raise CvBridgeError(f"{source} cannot be converted to {target}: say what it shows")
        return _change_depth(image, target_dtype)
    if source_format is not target_format:
        try:
            # With the depth of the source, because only colours are converted here.
            image = convert_color(image, source, _colour_name(target, dtype))
        except (ImageError, cv2.error) as error:
            raise CvBridgeError(f"{source} cannot be converted to {target}: {error}") from error
    return _change_depth(image, target_dtype)


def _colour_name(target: str, dtype: str) -> str:
    """The encoding of the same colour with another depth, where there is one."""
    stem = target.removesuffix("16").removesuffix("8")
    name = f"{stem}{np.dtype(dtype).itemsize * 8}"
    try:
        pixel_type(name)
    except CvBridgeError:
        return target
    return name


def _change_depth(image: np.ndarray, dtype: str) -> np.ndarray:
    if image.dtype == dtype:
        return image
    if image.size == 0:
        return image.astype(dtype)
    before, after = image.dtype.itemsize, np.dtype(dtype).itemsize
    scale = {(1, 2): 65535 / 255, (2, 1): 255 / 65535}.get((before, after), 1.0)
    flat = image.reshape(len(image), -1)  # a scalar would reach only the first channel
    depth = getattr(cv2, f"CV_{DEPTHS[dtype]}")
    return cv2.multiply(flat, scale, dtype=depth).reshape(image.shape)  # type: ignore[call-overload]
