"""`facemesh_bag`: the faces of recordings, computed by several processes, without ROS."""
