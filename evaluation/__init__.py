"""Numbers about generated images, each of them comparable with the same number of real ones."""
