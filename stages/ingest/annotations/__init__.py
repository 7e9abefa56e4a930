"""Readers of annotation formats, and which annotation belongs to which film.

They are own code, since readers of libraries (globox, pycocotools) stop at the first mistake and do not name its line.
"""
