"""From the image of a film or a detector to a standard mammogram with its breast mask."""
