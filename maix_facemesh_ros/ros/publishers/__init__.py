"""The topics and tf frames that show faces, one module for each kind."""
