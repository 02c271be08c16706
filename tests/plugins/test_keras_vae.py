"""The variational autoencoders in Keras keep what every network keeps."""

from __future__ import annotations

from typing import ClassVar

import pytest

pytest.importorskip("tensorflow", reason="tensorflow is not installed")
pytest.importorskip("keras", reason="keras is not installed")

from plugins.network_kit import NetworkContract

from bench_plugins.keras_vae import KerasVae


class TestKerasVae(NetworkContract):
    kind = KerasVae
    files: ClassVar = {"weights.npz", "state.json"}
