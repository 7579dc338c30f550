"""What is computed from landmarks alone: ids, smoothing, head pose, gaze. No backend, no image."""
