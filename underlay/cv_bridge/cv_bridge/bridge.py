"""CvBridge: image messages to arrays without a copy where possible, arrays to messages with one."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from cv_bridge.encodings import DEPTHS, CvBridgeError, convert, pixel_type

_COMPRESSED = {1: "mono", 3: "bgr", 4: "bgra"}


class CvBridge:
    """Converts between sensor_msgs images and the arrays that OpenCV works on.

    Arrays are `(H, W)` for one channel, else `(H, W, C)`. "passthrough" keeps the encoding.
    """

    def __init__(self) -> None:
        self.numpy_type_to_cvtype = DEPTHS | {name: dtype for dtype, name in DEPTHS.items()}
        self.cvdepth_to_numpy_depth = {
            getattr(cv2, f"CV_{name}"): dtype for dtype, name in DEPTHS.items()
        }
        self.cvtype_to_name = {
            cv2.CV_MAKETYPE(depth, channels): f"{DEPTHS[dtype]}C{channels}"
            for depth, dtype in self.cvdepth_to_numpy_depth.items()
            for channels in range(1, 5)
        }

    def dtype_with_channels_to_cvtype2(self, dtype: np.dtype, n_channels: int) -> str:
        """OpenCV's name of a pixel type, such as "8UC3"."""
        try:
            return f"{DEPTHS[dtype.name]}C{n_channels}"
        except KeyError:
            raise CvBridgeError(
                f"images of {dtype.name} have no encoding; use one of {', '.join(DEPTHS)}"
            ) from None

    def cvtype2_to_dtype_with_channels(self, cvtype: int) -> tuple[str, int]:
        """The numpy dtype's name and the channels of an OpenCV type number."""
        return self.cvdepth_to_numpy_depth[cvtype & 7], (cvtype >> 3) + 1

    def encoding_to_cvtype2(self, encoding: str) -> int:
        """The OpenCV type number of an encoding, such as cv2.CV_8UC3 for "rgb8"."""
        dtype, channels = pixel_type(encoding)
        return cv2.CV_MAKETYPE(getattr(cv2, f"CV_{DEPTHS[dtype]}"), channels)

    def encoding_to_dtype_with_channels(self, encoding: str) -> tuple[str, int]:
        """The numpy dtype's name and the channels of an encoding."""
        return pixel_type(encoding)

    def imgmsg_to_cv2(self, img_msg: Any, desired_encoding: str = "passthrough") -> np.ndarray:
        """The image of a message, in an encoding of choice.

        It shares the message's memory when its encoding is wanted, its rows are not padded and its
        byte order is the machine's: copy it before drawing on it. Raises CvBridgeError for an
        unknown encoding, an impossible conversion or a message with too few bytes.
        """
        image = _pixels(img_msg)
        if desired_encoding == "passthrough":
            return image
        return convert(image, img_msg.encoding, desired_encoding)

    def cv2_to_imgmsg(
        self, cvim: np.ndarray, encoding: str = "passthrough", header: Any = None
    ) -> Image:
        """A message with a copy of an `(H, W)` or `(H, W, C)` image.

        Raises CvBridgeError if the encoding is unknown or its pixels are of another type;
        TypeError if `cvim` is no array.
        """
        if not isinstance(cvim, np.ndarray):
            raise TypeError(f"an image is a numpy array, not {type(cvim).__name__}")
        height, width = cvim.shape[:2]
        channels = cvim.shape[2] if cvim.ndim > 2 else 1
        pixels = self.dtype_with_channels_to_cvtype2(cvim.dtype, channels)
        if encoding == "passthrough":
            encoding = pixels
        elif pixel_type(encoding) != (cvim.dtype.name, channels):
            raise CvBridgeError(f"encoding {encoding} does not fit an image of type {pixels}")
        message = Image(height=height, width=width, encoding=encoding)
        if header is not None:
            message.header = header
        message.step = width * channels * cvim.dtype.itemsize
        message.is_bigendian = cvim.dtype.str.startswith(">")
        # Filling the message's own array spares the check of every element that assigning does.
        message.data.frombytes(_bytes(cvim))
        return message

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: Any, desired_encoding: str = "passthrough"
    ) -> np.ndarray:
        """The decoded image: grey, BGR or BGRA as it was stored, unless an encoding is wanted.

        Raises CvBridgeError if it cannot be decoded or converted.
        """
        try:
            image = cv2.imdecode(_buffer(cmprs_img_msg.data), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            image = None
        if image is None:
            raise CvBridgeError(f"cannot decode a compressed image of {cmprs_img_msg.format!r}")
        if desired_encoding == "passthrough":
            return image
        channels = image.shape[2] if image.ndim > 2 else 1
        source = f"{_COMPRESSED[channels]}{image.dtype.itemsize * 8}"
        return convert(image, source, desired_encoding)

    def cv2_to_compressed_imgmsg(
        self, cvim: np.ndarray, dst_format: str = "jpg"
    ) -> CompressedImage:
        """A message with a grey, BGR or BGRA image encoded as "jpg", "png" or another file ending.

        Raises CvBridgeError if OpenCV cannot write the image in that format; TypeError if `cvim`
        is no array.
        """
        if not isinstance(cvim, np.ndarray):
            raise TypeError(f"an image is a numpy array, not {type(cvim).__name__}")
        try:
            done, encoded = cv2.imencode(f".{dst_format}", cvim)
        except cv2.error:
            done = False
        if not done:
            raise CvBridgeError(
                f"cannot encode an image of {cvim.dtype.name} {cvim.shape} as {dst_format!r}"
            )
        message = CompressedImage(format=dst_format)
        message.data.frombytes(_bytes(encoded))
        return message


def _pixels(message: Any) -> np.ndarray:
    """The pixels of an Image in the machine's byte order, on the message's memory if possible."""
    name, channels = pixel_type(message.encoding)
    dtype = np.dtype(name).newbyteorder(">" if message.is_bigendian else "<")
    row = message.width * channels * dtype.itemsize
    data = _buffer(message.data)
    needed = (message.height - 1) * message.step + row if message.height else 0
    if message.step < row or len(data) < needed:
        raise CvBridgeError(
            f"{message.encoding} image of {message.width}x{message.height} has step {message.step} "
            f"and {len(data)} bytes, but needs a step of {row} and {needed} bytes"
        )
    image: np.ndarray = np.ndarray(
        (message.height, message.width, channels),
        dtype,
        buffer=data,
        strides=(message.step, channels * dtype.itemsize, dtype.itemsize),
    )
    if channels == 1:
        image = image[:, :, 0]
    return np.ascontiguousarray(image, dtype=name)


def _buffer(data: Any) -> np.ndarray:
    """Bytes of a message, whatever the sequence: array, bytes, ndarray or list."""
    return np.array(data, np.uint8) if isinstance(data, list) else np.frombuffer(data, np.uint8)


def _bytes(image: np.ndarray) -> memoryview:
    return np.ascontiguousarray(image).reshape(-1).view(np.uint8).data
