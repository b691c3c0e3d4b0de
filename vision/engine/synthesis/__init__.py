"""Pictures drawn from formulas: training data that nobody had to photograph, and photographs for trying out.

The same seed gives the same picture. `gallery.draw_fault_image` is the door for everyone but the training.
"""
