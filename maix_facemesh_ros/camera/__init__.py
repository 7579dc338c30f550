"""The camera that took an image: its model, and how calibrations are read."""
