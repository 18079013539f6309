"""Shapes in text files: the readers of COCO, CVAT, LabelMe, VIA and YOLO, and drawing them."""
