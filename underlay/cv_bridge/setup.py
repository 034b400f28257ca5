from setuptools import setup

NAME = "cv_bridge"

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    maintainer="mx maintainers",
    maintainer_email="maintainers@example.org",
    description="Images between ROS messages and OpenCV, where ROS does not bring its own",
    license="Apache-2.0",
)
