"""Predict: the trained networks on new films. Research software, not a medical device.

From Python: `predict(pixels, open_model("adaptive"))`, both from `tools.predict.model`.
"""

FORMATS = ("png", "json", "dicom-seg")  # that a prediction can be written in
