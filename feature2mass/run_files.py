"""Names of the files in a run directory of Feature2Mass that outlive its training."""

ENCODER, DECODER = "encoder.keras", "decoder.keras"
SOURCE = "source.json"  # where the training data was
