"""Images between ROS messages and OpenCV, with the interface of ROS's cv_bridge for Python."""

from cv_bridge.bridge import CvBridge, CvBridgeError

__all__ = ["CvBridge", "CvBridgeError"]
