"""A static page that segments photos on the visitor's own machine."""
