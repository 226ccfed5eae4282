"""Texts as vectors, by a base model that is loaded anyway: mean of the last hidden states.

Good enough to see clumps and holes and to compare two sets of one run; not a sentence encoder.
"""

from collections.abc import Sequence

import numpy as np
import torch

from workbench.models.batches import micro_batches
from workbench.models.forward import padded
from workbench.models.resident import Resident

LONGEST = 256  # tokens of a text that are looked at


@torch.no_grad()
def embed(resident: Resident, texts: Sequence[str]) -> np.ndarray:
    """Unit vectors of texts under the plain base.

    Returns:
        float32 array [texts, hidden size], in order.
    """
    rows = [
        resident.tokenizer(text or " ", add_special_tokens=True)["input_ids"][:LONGEST] or [0]
        for text in texts
    ]
    vectors = np.zeros((len(rows), resident.text_config.hidden_size), dtype=np.float32)
    lengths = [len(row) for row in rows]
    with resident.using(None):
        for cut in micro_batches(lengths, [1] * len(rows), 1, resident.device):
            ids, sizes = padded([rows[i] for i in cut], resident.device)
            # Padding is on the right, where no token of the text looks: no mask is needed.
            hidden = resident.text_model(input_ids=ids, use_cache=False)
            inside = torch.arange(ids.shape[1], device=ids.device) < sizes[:, None]
            summed = (hidden.last_hidden_state.float() * inside[:, :, None]).sum(1)
            mean = summed / sizes[:, None]
            vectors[cut] = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
    return vectors
