"""Pages of thumbnails next to a dataset, to look at what became of the images."""
