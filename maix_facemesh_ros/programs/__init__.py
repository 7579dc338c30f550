"""Code that runs before a program is loaded, and the program `facemesh`."""
