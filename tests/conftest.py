"""Strict numerics for every test, and one compilation cache for all of them."""

import pathlib
import tempfile

import jax

from descend import threads

threads.enough()
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
_CACHE = pathlib.Path(tempfile.gettempdir()) / f"descend-test-cache-{jax.__version__}"
_CACHE.mkdir(exist_ok=True)
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
