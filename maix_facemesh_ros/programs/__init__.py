"""What the programs share before any of them is loaded, and the program `facemesh`."""
