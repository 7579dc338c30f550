"""Values computed from landmarks alone, without backend or image: ids, smoothing, pose, gaze."""
