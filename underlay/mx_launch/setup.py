from setuptools import setup

NAME = "mx_launch"

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
    description="Runs ROS launch files in XML, where there is no ros2 launch",
    license="Apache-2.0",
)
