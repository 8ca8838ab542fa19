"""The acts of the demo, in the order in which a company would go through them."""
