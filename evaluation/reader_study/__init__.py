"""The reader study: build a page of images to rate, and analyse the ratings."""
