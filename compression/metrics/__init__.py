"""Image-quality metrics. Each file implements one idea; :class:`SetMetrics` computes them together."""
from .distances import frechet_distance, kernel_distance
from .evaluator import METRICS, MetricNetworks, SegmentationNetwork, SetMetrics, better_sign
from .image import ImageMetrics
from .segmentation import SegmentationScores

__all__ = ["METRICS", "ImageMetrics", "MetricNetworks", "SegmentationNetwork", "SegmentationScores",
           "SetMetrics", "better_sign", "frechet_distance", "kernel_distance"]
