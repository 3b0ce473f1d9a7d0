"""One module per metric: its mathematics, and the `Metric` object that the table is made of."""
