"""ROS messages as bytes, read and written without ROS."""
