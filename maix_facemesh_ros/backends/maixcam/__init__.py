"""The maixcam backend: faces of a MaixCAM on the network, received over the link."""
