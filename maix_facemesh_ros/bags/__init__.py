"""Bags without ROS: reading and writing."""
