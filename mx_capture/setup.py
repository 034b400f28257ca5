from setuptools import find_packages, setup

NODES = (
    "event_camera_node",
    "event_tensor_node",
    "face_camera_node",
    "face_detector_node",
    "recorder_node",
    "rgb_camera_node",
    "simulator_node",
)

setup(
    name="mx_capture",
    version="0.1.0",
    description="Cameras, clocks, faces, event tensors, recordings and a simulator.",
    license="Apache-2.0",
    maintainer="mx maintainers",
    maintainer_email="maintainers@example.org",
    packages=find_packages(),
    package_data={"": ["data/**", "assets/**", "msgdefs/**", "py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/mx_capture"]),
        ("share/mx_capture", ["package.xml"]),
    ],
    zip_safe=False,
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            *(f"{node} = mx_capture.nodes.executable:main" for node in NODES),
            "replay_node = mx_capture.nodes.replay_node:main",
        ],
    },
)
