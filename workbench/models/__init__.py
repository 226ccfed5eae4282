"""Where weights come from, how they are loaded, and how prompts become token ids.

References, catalogue and downloads need no torch; everything that touches tensors is in its own
module. Nothing here reads a pickle, runs code from a model's folder or trusts a config file that
came with an adapter.
"""

import logging
import sys

# On CPUs with AVX512_BF16, importing bitsandbytes asks the `kernels` package, where it is
# installed, to download and run a binary. The one that bitsandbytes ships is what we measured:
# make `import kernels` fail, and keep the warning about that out of every log.
sys.modules.setdefault("kernels", None)  # type: ignore[arg-type]
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
