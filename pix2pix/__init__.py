"""The pix2pix baseline: a texture map in, a mammogram out (Isola et al., CVPR 2017; Ren et al., MICCAI 2019, §6.3)."""

import preprocessing  # noqa: F401  settings of TensorFlow, made before it is imported
