"""Preprocess: raw films become small 8-bit images, with the affine map that took them there."""
