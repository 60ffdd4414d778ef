"""Pretrained encoders behind one layer-by-layer interface."""
