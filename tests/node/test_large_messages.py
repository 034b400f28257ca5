"""The transport profile: without it, best-effort VGA images do not arrive at all."""

import subprocess
import sys

from mx_capture.node_setup import SENSOR_QOS
from sensor_msgs.msg import Image

_COUNT, _PERIOD_S = 60, 1 / 30
_PUBLISHER = f"""
import array, time, rclpy
from sensor_msgs.msg import Image
from mx_capture.node_setup import SENSOR_QOS
rclpy.init()
node = rclpy.create_node("camera")
publisher = node.create_publisher(Image, "vga", SENSOR_QOS)
image = Image(height=480, width=640, encoding="rgb8", step=1920)
image.data = array.array("B", bytes(640 * 480 * 3))
while publisher.get_subscription_count() == 0:
    time.sleep(0.05)
due = time.monotonic()
for number in range({_COUNT}):
    image.header.stamp.sec = number
    publisher.publish(image)
    due += {_PERIOD_S}
    time.sleep(max(0.0, due - time.monotonic()))
time.sleep(1.0)
"""


def test_vga_images_arrive_at_30_hz(graph):
    graph.start()
    images = graph.listen(Image, "vga", SENSOR_QOS)
    camera = subprocess.Popen([sys.executable, "-c", _PUBLISHER])
    try:
        graph.until(lambda: len(images) == _COUNT, seconds=60)
    finally:
        camera.terminate()
        camera.wait()
    assert [image.header.stamp.sec for image in images] == list(range(_COUNT))
    assert all(len(image.data) == 640 * 480 * 3 for image in images)
