"""From the image of a film or detector to a standard mammogram with its breast mask."""
