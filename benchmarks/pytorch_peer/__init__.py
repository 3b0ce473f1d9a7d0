"""The networks and losses of the project in PyTorch, written to be fast there: what `against_pytorch.py` compares with.

Nothing here imports Keras or TensorFlow: it runs in a Python of its own, with PyTorch and NumPy alone.
"""
