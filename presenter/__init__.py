"""The synthetic presenter: a talking head that depicts nobody, rendered with exact ground truth.

Space of all geometry: MakeHuman's, in decimetres; y up, z forward (towards the camera), x to her left.

Axes in names: `V` vertices, `U` face units, `Q` quads, `T` video frames (25/s), `N` strands, `K` points of a strand,
`P` key points, `H W C` image.
"""
