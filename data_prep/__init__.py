"""From a recording to a dataset: decoding, tracking, cropping and judging."""
