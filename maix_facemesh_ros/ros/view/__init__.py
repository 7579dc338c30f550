"""`facemesh_view`: the browser view as a ROS node."""
