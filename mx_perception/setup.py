from setuptools import find_packages, setup

NODES = (
    "au_classifier_node",
    "evaluation_node",
    "overlay_node",
    "reconstruction_node",
)

setup(
    name="mx_perception",
    version="0.1.0",
    description="Networks that read Action Units from events, with their training and nodes.",
    license="Apache-2.0",
    maintainer="mx maintainers",
    maintainer_email="maintainers@example.org",
    packages=find_packages(),
    package_data={"": ["data/**", "py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/mx_perception"]),
        ("share/mx_perception", ["package.xml"]),
    ],
    zip_safe=False,
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [f"{node} = mx_capture.nodes.executable:main" for node in NODES],
    },
)
