"""Runs ROS launch files in XML: a subset of what `ros2 launch` runs, with the same meaning.

`python -m mx_launch FILE.launch.xml [name:=value ...]` is the command line, `Launch` the same for
programs.
"""

from mx_launch.document import LaunchError
from mx_launch.runner import Launch

__all__ = ["Launch", "LaunchError"]
