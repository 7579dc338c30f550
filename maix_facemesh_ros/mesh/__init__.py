"""The 478-point mesh as data: MediaPipe's canonical face, its connections, subsets and names."""
