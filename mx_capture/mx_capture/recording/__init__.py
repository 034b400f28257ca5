"""Recordings: rosbag2 bags of raw topics, and the session that each belongs to."""
