"""Says who smiles: a ROS4HRI (REP-155) listener in twenty lines. Run: python3 smiles.py"""

import contextlib

import rclpy
from hri_msgs.msg import FacialActionUnits, IdsList
from rclpy.executors import ExternalShutdownException

LIP_CORNER_PULLER = FacialActionUnits.LIP_CORNER_PULLER
faces = {}


def on_faces(tracked):
    for face in set(tracked.ids) - set(faces):
        topic = f"/humans/faces/{face}/facs"
        faces[face] = node.create_subscription(
            FacialActionUnits, topic, lambda facs, face=face: on_facs(face, facs), 1
        )
    for face in set(faces) - set(tracked.ids):
        node.destroy_subscription(faces.pop(face))


def on_facs(face, facs):
    smile, sure = facs.intensity[LIP_CORNER_PULLER], facs.confidence[LIP_CORNER_PULLER]
    if sure > 0 and smile > 0.5:
        print(f"{face} smiles ({smile:.2f})", flush=True)


rclpy.init()
node = rclpy.create_node("smiles")
node.create_subscription(IdsList, "/humans/faces/tracked", on_faces, 1)
with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
    rclpy.spin(node)
