"""Bags without ROS: reading, writing, and finding the faces in what cameras recorded."""
