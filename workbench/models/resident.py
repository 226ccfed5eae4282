"""One base model in memory, with any number of LoRA adapters that are switched on it.

``load`` reads a local folder as it is or in 4-bit NF4, and ``Resident.using(name)`` decides which
adapter takes part in the forward pass: exactly one, or none. Adapters come from our own settings
and a safetensors file whose names, shapes and values are all checked; a PEFT config of a user is
never read. Refuses folders that bring their own code; an adapter is merged only to be saved.

``Resident.model`` is the same transformers model all the time; PEFT injects its layers into it.
"""

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.nn.modules import Linear4bit
from peft import PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer, LoraModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar

from workbench.errors import ModelError
from workbench.models.adapters import check_tensors, file_config, peft_config
from workbench.models.folders import check_folder
from workbench.recipe import LoraSettings

ALL_LINEAR = "all-linear"
WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
disable_progress_bar()  # a worker's log is read by people

_PREFIX = "base_model.model."  # what PEFT puts before module names in its files


def load(folder: Path, *, quantize: bool = False, device: str | None = None) -> "Resident":
    """Load a base model and its tokenizer; nothing is downloaded.

    Args:
        folder: config.json, safetensors weights and tokenizer files.
        quantize: 4-bit NF4 with double quantisation for all linear layers but the LM head.
            Arithmetic, and all other weights, in ``compute_dtype``.
        device: "cpu", "cuda", "cuda:1"; None takes the first GPU if there is one.

    Raises:
        ModelError: the folder is not a model that we load.
    """
    check_folder(folder)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = compute_dtype(where)
    options: dict[str, Any] = {"local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            device_map={"": str(where)},
            # Measured on CPU: eager is 20 % faster than sdpa in training, 50 % in decoding.
            attn_implementation="eager" if where.type == "cpu" else "sdpa",
            quantization_config=_nf4(dtype) if quantize else None,
            **options,
        )
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
        raise ModelError(
            f"The model in {folder} could not be loaded: {_first_line(error)}. "
            "Check that the folder is complete and is a text model that transformers knows."
        ) from error
    model.requires_grad_(False)
    model.eval()
    if quantize:
        keep_weights_unpacked(model)
    return Resident(model, tokenizer, where, quantize, folder)


def compute_dtype(device: torch.device) -> torch.dtype:
    """bf16, but float32 on CPUs that cannot multiply bf16.

    Without AVX-512 or its like, torch multiplies bf16 one number at a time: measured on an AVX2
    processor, a forward product took 6 times as long as in float32 and a backward one 60 times.
    Where bf16 is native, float32 is 5 times slower.
    """
    if device.type == "cpu" and not cpu_multiplies_bf16():
        return torch.float32
    return torch.bfloat16


def cpu_multiplies_bf16() -> bool:
    """Whether oneDNN, which does torch's matrix products, has bf16 kernels for this processor."""
    if not torch.backends.mkldnn.is_available():
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def keep_weights_unpacked(model: nn.Module) -> None:
    """Stop bitsandbytes from repacking 4-bit weights in place at the first evaluation on a CPU.

    A packed layer has no backward pass, so training after an evaluation would lose the gradients
    of all earlier layers without an error; merging and saving such a layer gives noise.
    """
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


@dataclass
class Resident:
    """A loaded base model. Make it with ``load``.

    Attributes:
        model: the transformers model; its forward pass uses what ``using`` selected last.
        tokenizer: the base's tokenizer.
        device: where the weights are.
        quantized: True for NF4.
        folder: where it was loaded from.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    quantized: bool
    folder: Path
    _peft: PeftModel | None = None
    _active: str | None = None
    _settings: dict[str, LoraSettings] = field(default_factory=dict)
    _frozen: set[str] = field(default_factory=set)
    _linear: tuple[str, ...] = ()  # full names of the layers that may carry an adapter

    def __post_init__(self) -> None:
        head = self.model.get_output_embeddings()
        self._linear = tuple(
            name
            for name, module in self.model.named_modules()
            if isinstance(module, nn.Linear) and module is not head
        )

    @property
    def active(self) -> str | None:
        """The adapter in use; None is the plain base."""
        return self._active

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the attached adapters."""
        return tuple(self._settings)

    def attach(self, name: str, settings: LoraSettings, weights: Path) -> None:
        """Add a frozen adapter from a safetensors file with PEFT's key names.

        Raises:
            ModelError: a tensor is missing, unexpected, of another shape or not finite, or all
                B matrices are zero, so that the adapter would do nothing.
        """
        try:
            tensors = load_file(weights)
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"The adapter file {weights.name} cannot be read: {_first_line(error)}."
            ) from error
        self._inject(name, settings, frozen=True)
        try:
            check_tensors(tensors, self._parameters(name))
        except ModelError:
            self.detach(name)
            raise
        for key, parameter in self._parameters(name).items():
            parameter.data.copy_(tensors[key])

    def attach_new(self, name: str, settings: LoraSettings, seed: int) -> None:
        """Add a fresh trainable adapter: random A from ``seed``, zero B, float32."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            self._inject(name, settings, frozen=False)

    def detach(self, name: str) -> None:
        """Remove an adapter; the plain base is in use if it was the active one."""
        self._known(name)
        del self._settings[name]
        self._frozen.discard(name)
        if self._active == name:
            self._active = None
        assert self._peft is not None
        if self._settings:
            with warnings.catch_warnings():  # PEFT tells which adapter it selects; we select below
                warnings.simplefilter("ignore")
                self._peft.delete_adapter(name)
        else:
            self._peft.unload()
            self._peft = None
        self._switch(self._active)

    @contextmanager
    def using(self, name: str | None) -> Iterator["Resident"]:
        """Select one adapter, or with None the plain base, until the block ends.

        A trainable adapter requires gradients only while it is selected.
        """
        if name is not None:
            self._known(name)
        previous = self._active
        self._switch(name)
        try:
            yield self
        finally:
            self._switch(previous if previous in self._settings else None)

    def trainable(self, name: str) -> dict[str, nn.Parameter]:
        """The adapter's parameters by the names that they have in adapter_model.safetensors."""
        self._known(name)
        if name in self._frozen:
            raise ModelError(f'Adapter "{name}" is frozen; only a new adapter is trained.')
        return self._parameters(name)

    def save_adapter(self, name: str, folder: Path, base_model_name: str) -> None:
        """Write the two files that ``PeftModel.from_pretrained`` reads, float32.

        Args:
            name: an attached adapter.
            folder: is created; existing files of the same names are overwritten.
            base_model_name: Hub id for the config; never a local path.
        """
        self._known(name)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            key: parameter.detach().float().cpu().contiguous()
            for key, parameter in self._parameters(name).items()
        }
        save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        settings = self._settings[name]
        config = file_config(settings, self._targets(settings), base_model_name)
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")

    def save_merged(self, name: str, folder: Path, base_model_name: str) -> None:
        """Write base, adapter and tokenizer as one plain model; of no use afterwards.

        Args:
            folder: is created.
            base_model_name: Hub id for the configs, or ""; never a local path.
        """
        self._known(name)
        if self.quantized:
            raise ModelError("An adapter is merged into 16-bit weights, not into 4-bit ones.")
        assert self._peft is not None
        merged: Any = self._peft.merge_and_unload(adapter_names=[name])
        merged.to(torch.bfloat16)  # where arithmetic is float32, the sums are rounded once, here
        merged.config._name_or_path = base_model_name
        self.tokenizer.name_or_path = base_model_name
        self.tokenizer.init_kwargs.pop("name_or_path", None)
        merged.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _inject(self, name: str, settings: LoraSettings, *, frozen: bool) -> None:
        if name in self._settings:
            raise ModelError(f'An adapter named "{name}" is already attached.')
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ModelError(f'"{name}" is no adapter name: use a-z, 0-9 and _.')
        config = peft_config(settings, self._targets(settings))
        if self._peft is None:
            with warnings.catch_warnings():  # PEFT reads a property that transformers renamed
                warnings.simplefilter("ignore", FutureWarning)
                self._peft = get_peft_model(self.model, config, adapter_name=name)  # type: ignore
        else:
            self._peft.add_adapter(name, config)
        self._settings[name] = settings
        if frozen:
            self._frozen.add(name)
        self._switch(self._active)

    def _switch(self, name: str | None) -> None:
        self._active = name
        if self._peft is None:
            return
        if name is None:
            _lora(self._peft).disable_adapter_layers()
            return
        _lora(self._peft).enable_adapter_layers()
        # Enabling makes the previous adapter trainable, hence the order.
        self._peft.set_adapter(name, inference_mode=name in self._frozen)

    def _targets(self, settings: LoraSettings) -> list[str]:
        """Names for PEFT's ``target_modules``; each matches at least one linear layer."""
        if settings.target_modules == (ALL_LINEAR,):
            return sorted({name.rsplit(".", 1)[-1] for name in self._linear})
        for target in settings.target_modules:
            if not any(name == target or name.endswith(f".{target}") for name in self._linear):
                raise ModelError(
                    f'This base model has no linear layer named "{target}". '
                    "The adapter's target modules belong to another base model."
                )
        return sorted(settings.target_modules)

    def _parameters(self, name: str) -> dict[str, nn.Parameter]:
        found: dict[str, nn.Parameter] = {}
        for path, module in self.model.named_modules():
            if not isinstance(module, LoraLayer) or name not in module.lora_A:
                continue
            key = f"{_PREFIX}{path}"
            found[f"{key}.lora_A.weight"] = _weight(module.lora_A[name])
            found[f"{key}.lora_B.weight"] = _weight(module.lora_B[name])
            if name in module.lora_magnitude_vector:
                magnitude = _weight(module.lora_magnitude_vector[name])
                found[f"{key}.lora_magnitude_vector"] = magnitude
        return found

    def _known(self, name: str) -> None:
        if name not in self._settings:
            raise ModelError(f'No adapter named "{name}" is attached to this model.')


def _lora(model: PeftModel) -> LoraModel:
    assert isinstance(model.base_model, LoraModel)
    return model.base_model


def _weight(module: nn.Module) -> nn.Parameter:
    assert isinstance(module.weight, nn.Parameter)
    return module.weight


def _nf4(dtype: torch.dtype) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__).rstrip(".")[:300]
