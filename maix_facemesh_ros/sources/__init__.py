"""Image sources: files, folders, cameras and URLs."""
