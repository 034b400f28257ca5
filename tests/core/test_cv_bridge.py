"""cv_bridge by itself: pixels, encodings and memory, both ways."""

import array

import cv2
import numpy as np
import pytest
from cv_bridge import CvBridge, CvBridgeError
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

BRIDGE = CvBridge()
RNG = np.random.default_rng(3)


def picture(dtype, channels, height=5, width=6):
    shape = (height, width) if channels == 1 else (height, width, channels)
    if np.dtype(dtype).kind == "f":
        return RNG.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


GENERIC = [
    (f"{name}C{channels}", dtype, channels)
    for name, dtype in BRIDGE.numpy_type_to_cvtype.items()
    if name[0].isdigit()
    for channels in (1, 2, 3, 4)
]
NAMED = [
    ("mono8", "uint8", 1),
    ("mono16", "uint16", 1),
    ("rgb8", "uint8", 3),
    ("bgr8", "uint8", 3),
    ("rgba8", "uint8", 4),
    ("bgra8", "uint8", 4),
    ("rgb16", "uint16", 3),
    ("bgr16", "uint16", 3),
    ("rgba16", "uint16", 4),
    ("bgra16", "uint16", 4),
    ("yuv422", "uint8", 2),
    ("yuv422_yuy2", "uint8", 2),
    ("uyvy", "uint8", 2),
    ("yuyv", "uint8", 2),
    *[(f"bayer_{p}8", "uint8", 1) for p in ("rggb", "bggr", "gbrg", "grbg")],
    *[(f"bayer_{p}16", "uint16", 1) for p in ("rggb", "bggr", "gbrg", "grbg")],
]


@pytest.mark.parametrize(("encoding", "dtype", "channels"), GENERIC + NAMED)
def test_every_encoding_survives_both_ways(encoding, dtype, channels):
    image = picture(dtype, channels)
    message = BRIDGE.cv2_to_imgmsg(image, encoding)
    assert (message.height, message.width, message.encoding) == (5, 6, encoding)
    assert message.step == 6 * channels * np.dtype(dtype).itemsize
    assert len(message.data) == 5 * message.step
    back = BRIDGE.imgmsg_to_cv2(message)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, image)
    assert BRIDGE.encoding_to_dtype_with_channels(encoding) == (dtype, channels)
    cvtype = BRIDGE.encoding_to_cvtype2(encoding)
    assert BRIDGE.cvtype2_to_dtype_with_channels(cvtype) == (dtype, channels)
    assert BRIDGE.cvtype_to_name[cvtype] == BRIDGE.dtype_with_channels_to_cvtype2(
        np.dtype(dtype), channels
    )


def test_passthrough_names_the_type_and_keeps_the_header():
    header = Header(frame_id="camera")
    message = BRIDGE.cv2_to_imgmsg(picture("uint8", 3), header=header)
    assert message.encoding == "8UC3"
    assert message.header.frame_id == "camera"


def test_reading_shares_the_memory_of_the_message():
    message = BRIDGE.cv2_to_imgmsg(picture("uint8", 3), "rgb8")
    for encoding in ("passthrough", "rgb8"):
        image = BRIDGE.imgmsg_to_cv2(message, encoding)
        assert np.shares_memory(image, np.frombuffer(message.data, np.uint8))


def test_padded_rows_are_cut_off():
    image = picture("uint16", 1)
    padded = np.zeros((5, 8), np.uint16)
    padded[:, :6] = image
    message = Image(height=5, width=6, encoding="mono16", step=16, data=padded.tobytes())
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message), image)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float64"])
def test_big_endian_pixels_are_swapped(dtype):
    image = picture(dtype, 3)
    message = BRIDGE.cv2_to_imgmsg(image.astype(np.dtype(dtype).newbyteorder(">")))
    assert message.is_bigendian
    back = BRIDGE.imgmsg_to_cv2(message)
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, image)


@pytest.mark.parametrize("data", [bytes, bytearray, list, lambda b: np.frombuffer(b, np.uint8)])
def test_any_sequence_of_bytes_can_be_read(data):
    image = picture("uint8", 3)
    message = BRIDGE.cv2_to_imgmsg(image, "rgb8")
    fake = type("Fake", (), {})()
    for name in ("height", "width", "encoding", "step", "is_bigendian"):
        setattr(fake, name, getattr(message, name))
    fake.data = data(message.data.tobytes())
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(fake), image)


def test_a_view_of_an_image_is_written_row_by_row():
    image = picture("uint8", 3, 20, 20)
    back = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image[3:9, 4:12], "bgr8"))
    np.testing.assert_array_equal(back, image[3:9, 4:12])


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ("rgb8", "bgr8", cv2.COLOR_RGB2BGR),
        ("bgr8", "mono8", cv2.COLOR_BGR2GRAY),
        ("rgb16", "bgra16", cv2.COLOR_RGB2BGRA),
        ("bgra8", "rgb8", cv2.COLOR_BGRA2RGB),
        ("mono16", "rgb16", cv2.COLOR_GRAY2RGB),
        ("bayer_rggb8", "rgb8", cv2.COLOR_BayerBG2RGB),
        ("bayer_bggr8", "bgr8", cv2.COLOR_BayerRG2BGR),
        ("bayer_gbrg16", "bgr16", cv2.COLOR_BayerGR2BGR),
        ("bayer_grbg8", "mono8", cv2.COLOR_BayerGB2GRAY),
        ("yuv422", "rgb8", cv2.COLOR_YUV2RGB_UYVY),
        ("uyvy", "bgr8", cv2.COLOR_YUV2BGR_UYVY),
        ("yuv422_yuy2", "bgr8", cv2.COLOR_YUV2BGR_YUY2),
        ("yuyv", "mono8", cv2.COLOR_YUV2GRAY_YUY2),
    ],
)
def test_colours_convert_as_opencv_does(source, target, code):
    image = picture(*BRIDGE.encoding_to_dtype_with_channels(source), height=8, width=8)
    message = BRIDGE.cv2_to_imgmsg(image, source)
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message, target), cv2.cvtColor(image, code))


@pytest.mark.parametrize(("source", "target"), [("mono8", "mono16"), ("rgb8", "rgb16")])
def test_eight_bits_scale_to_sixteen_and_back(source, target):
    image = picture(*BRIDGE.encoding_to_dtype_with_channels(source))
    wide = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, source), target)
    assert wide.dtype == np.uint16
    np.testing.assert_array_equal(wide, image.astype(np.uint16) * 257)
    narrow = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(wide, target), source)
    np.testing.assert_array_equal(narrow, image)


def test_colour_and_depth_change_together():
    image = picture("uint16", 1)
    out = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, "mono16"), "bgr8")
    np.testing.assert_array_equal(out, np.rint(image / 257.0)[..., None].repeat(3, 2))


def test_types_without_a_colour_are_rounded_and_clipped():
    image = np.array([[-3.0, 0.4, 0.6, 300.0]], np.float32)
    out = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image), "8UC1")
    np.testing.assert_array_equal(out, [[0, 0, 1, 255]])
    depth = np.array([[np.inf, 1.5]], np.float32)
    out = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(depth), "64FC1")
    np.testing.assert_array_equal(out, [[np.inf, 1.5]])


@pytest.mark.parametrize(
    ("source", "target"),
    [("8UC3", "rgb8"), ("8UC1", "mono8"), ("rgb8", "8UC1"), ("mono8", "bayer_rggb8"),
     ("rgb8", "nonsense"), ("32FC1", "mono8")],
)  # fmt: skip
def test_a_senseless_conversion_is_refused(source, target):
    image = picture(*BRIDGE.encoding_to_dtype_with_channels(source))
    with pytest.raises(CvBridgeError):
        BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, source), target)


def test_a_wrong_message_or_image_is_refused_by_name():
    with pytest.raises(CvBridgeError, match="'x264'"):
        BRIDGE.imgmsg_to_cv2(Image(height=1, width=1, encoding="x264"))
    short = Image(height=2, width=2, encoding="rgb8", step=6, data=b"12345678901")
    with pytest.raises(CvBridgeError, match="11 bytes"):
        BRIDGE.imgmsg_to_cv2(short)
    with pytest.raises(CvBridgeError, match="step 5"):
        BRIDGE.imgmsg_to_cv2(
            Image(height=2, width=2, encoding="rgb8", step=5, data=b"123456789012")
        )
    with pytest.raises(CvBridgeError, match="8UC3"):
        BRIDGE.cv2_to_imgmsg(picture("uint8", 3), "mono8")
    with pytest.raises(CvBridgeError, match="bool"):
        BRIDGE.cv2_to_imgmsg(np.zeros((2, 2), bool))
    with pytest.raises(TypeError, match="list"):
        BRIDGE.cv2_to_imgmsg([1, 2])


def test_an_empty_image_is_an_empty_image():
    message = BRIDGE.cv2_to_imgmsg(np.zeros((0, 4, 3), np.uint8), "rgb8")
    assert message.step == 12
    assert BRIDGE.imgmsg_to_cv2(message).shape == (0, 4, 3)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_survives_both_ways(dtype, channels):
    image = picture(dtype, channels)
    message = BRIDGE.cv2_to_compressed_imgmsg(image, "png")
    assert message.format == "png"
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(message), image)


def test_compressed_images_convert_and_fail_by_name():
    image = np.full((8, 8, 3), (10, 100, 200), np.uint8)
    message = BRIDGE.cv2_to_compressed_imgmsg(image)
    assert message.format == "jpg"
    rgb = BRIDGE.compressed_imgmsg_to_cv2(message, "rgb8").astype(int)
    assert np.abs(rgb - (200, 100, 10)).max() <= 3
    grey = BRIDGE.cv2_to_compressed_imgmsg(image[:, :, 0], "png")
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(grey, "bgr8")[0, 0], [10] * 3)
    with pytest.raises(CvBridgeError, match="decode"):
        BRIDGE.compressed_imgmsg_to_cv2(
            CompressedImage(format="jpeg", data=array.array("B", b"no image"))
        )
    with pytest.raises(CvBridgeError, match="decode"):
        BRIDGE.compressed_imgmsg_to_cv2(CompressedImage(format="jpeg"))
    with pytest.raises(CvBridgeError, match="'gif8'"):
        BRIDGE.cv2_to_compressed_imgmsg(image, "gif8")
