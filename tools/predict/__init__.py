"""Predict: the trained networks on new films. Research software, not a medical device.

From Python: `predict(pixels, open_model("adaptive"))`, both from `tools.predict.model`.
"""

TOOLS = ("coco", "cvat", "label-studio")  # annotation tools, by the formats that they read
FORMATS = ("png", "json", "dicom-seg", *TOOLS)  # that a prediction can be written in
