"""`facemesh_replay`: plays a bag into facemesh_node and checks the faces."""
