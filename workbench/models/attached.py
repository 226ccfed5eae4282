"""One adapter on a base model: layers of its own that are put in and taken out.

PEFT injects a method's layers into the base; here what it replaced is remembered, so that the
plain base and any number of adapters, of whatever methods, share the same base weights: switching
is an exchange of modules. Methods of virtual tokens inject nothing; their tokens become ids beyond
the vocabulary (``VirtualTokens``) or keys and values in front of every text (``key_values``).
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from peft import PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.poly.layer import PolyLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from workbench.adapter_settings import AdapterSettings
from workbench.errors import ModelError
from workbench.models.adapters import check_tensors, peft_config

_PREFIX = "base_model.model."
NAME = "default"  # of the adapter inside its PeftModel, as in PEFT's own files
_KEY_VALUES = ("PREFIX_TUNING", "CARTRIDGE")
_OTHER_ATTENTION = ("ADAPTION_PROMPT",)  # methods that put attention of their own in

Prefix = list[tuple[Tensor, Tensor]]  # per layer, keys and values [kv_heads, prefix, head]


class Place(NamedTuple):
    """Where the base has one module and the adapter another; None where the base has none."""

    parent: nn.Module
    name: str
    own: nn.Module
    plain: nn.Module | None


class VirtualTokens(nn.Module):
    """The base's embeddings, and behind the last of its ids those of an adapter's virtual tokens.

    Args:
        plain: the base's embedding of ids [...].
        prompt: gives [virtual tokens, width].
        first: id of the first virtual token.
    """

    def __init__(self, plain: nn.Module, prompt: Callable[[], Tensor], first: int) -> None:
        super().__init__()
        self.plain, self._prompt, self.first = plain, prompt, first

    def forward(self, ids: Tensor) -> Tensor:
        """Embeddings [..., width] of ids [...]."""
        virtual = ids >= self.first
        embedded = self.plain(ids.masked_fill(virtual, 0))
        prompt = self._prompt().to(embedded.dtype)
        return torch.where(virtual[..., None], prompt[(ids - self.first).clamp(min=0)], embedded)


class Attached:
    """An adapter and where it belongs in the base, which is plain when this begins and after.

    Attributes:
        settings: as given.
        frozen: it is only read.
        peft: PEFT's model around the base.
        tensors: what its file holds, by PEFT's names; of a trainable adapter the parameters.
        virtual_tokens: ids that stand in front of every text.
        keeps_attention: its layers work with whatever attention the model uses.

    Raises:
        ModelError: PEFT cannot build this adapter on this base.
    """

    def __init__(self, model: PreTrainedModel, settings: AdapterSettings, frozen: bool) -> None:
        self.settings, self.frozen = settings, frozen
        self.keeps_attention = settings.method not in _OTHER_ATTENTION
        self.virtual_tokens: list[int] = []
        self._base = dict(model.named_parameters(remove_duplicate=False))
        before: dict[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
        self._places: list[Place] = []
        try:
            with warnings.catch_warnings():  # of no use to the person who runs a transfer
                warnings.simplefilter("ignore")
                config = peft_config(settings, frozen=frozen)
                self.peft: PeftModel = get_peft_model(model, config, NAME)  # type: ignore
                self._finish()
                self.tensors = self._state()
        except (ValueError, TypeError, RuntimeError, NotImplementedError, KeyError) as error:
            raise ModelError(
                f"An adapter of the kind {settings.method} does not fit this base model: "
                f"{str(error).strip().splitlines()[0][:300]}"
            ) from error
        finally:
            self._places = list(_replaced(model, before))
            self.take_out()
        if self._is_prompt and settings.method not in _KEY_VALUES:
            self._add_virtual_tokens(model)

    @property
    def _is_prompt(self) -> bool:
        return self.peft.peft_config[NAME].is_prompt_learning

    def put_in(self, training: bool) -> None:
        """Let the base's forward pass use the adapter."""
        for parent, name, own, _ in self._places:
            setattr(parent, name, own)
            own.train(training)

    def take_out(self) -> None:
        """Give the base its own modules back."""
        for parent, name, _, plain in self._places:
            if plain is None:
                delattr(parent, name)
            else:
                setattr(parent, name, plain)

    def fill(self, tensors: dict[str, Tensor]) -> None:
        """Give a frozen adapter the values of its file.

        Raises:
            ModelError: a tensor is missing, unexpected, of another shape or not finite, or the
                adapter would do nothing.
        """
        tensors = self._without_base(tensors)
        check_tensors(self.settings.method, tensors, self.tensors)
        self.put_in(training=False)
        try:
            set_peft_model_state_dict(self.peft, dict(tensors), NAME)
            self.tensors = self._state()
        finally:
            self.take_out()
        for key, value in self.tensors.items():
            if not torch.equal(value.cpu(), tensors[key].to(value.dtype)):
                raise ModelError(f'The adapter\'s tensor "{key}" could not be put in its place.')
            value.requires_grad_(False)

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by the names of the file."""
        trained: dict[str, nn.Parameter] = {}
        for key, value in self.tensors.items():
            assert isinstance(value, nn.Parameter), key
            trained[key] = value
        return trained

    def key_values(self, dtype: torch.dtype) -> Prefix:
        """What stands in front of every text: per layer, keys and values [kv_heads, n, head]."""
        if self.settings.method not in _KEY_VALUES:
            return []
        config: Any = self.peft.peft_config[NAME]
        encoder: Any = self.peft.prompt_encoder[NAME]
        flat = encoder.embedding.weight.to(dtype)
        heads = config.num_attention_heads
        split = flat.view(len(flat), config.num_layers, 2, heads, config.token_dim // heads)
        per_layer = split.permute(1, 2, 3, 0, 4).unbind()
        return [(both[0], both[1]) for both in per_layer]

    def merge(self) -> PreTrainedModel:
        """The base with the adapter in its weights; both are of no other use afterwards."""
        merge: Any = self.peft.merge_and_unload
        return merge()

    def _finish(self) -> None:
        """What PEFT leaves to loading and to every call."""
        tuner: Any = self.peft.base_model
        config: Any = self.peft.peft_config[NAME]
        if self.settings.method == "ADALORA" and config.rank_pattern:
            tuner.resize_modules_by_rank_pattern(config.rank_pattern, NAME)
            config.rank_pattern = None  # else it would be done again
        if self.settings.method == "POLY":
            for module in tuner.modules():
                if isinstance(module, PolyLayer) and isinstance(module, nn.Module):
                    module.register_forward_pre_hook(_first_task, with_kwargs=True)

    def _without_base(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Without the embeddings of the base that PEFT saves beside an adapter of embeddings.

        Raises:
            ModelError: they are others than this base has.
        """
        kept = {}
        for key, value in tensors.items():
            path = key.removeprefix(_PREFIX).replace(".base_layer.", ".")
            plain = self._base.get(path) if key not in self.tensors else None
            if plain is None:
                kept[key] = value
            elif value.shape != plain.shape:
                raise ModelError(
                    f"The adapter brings {path} of the shape {tuple(value.shape)}, this base has "
                    f"{tuple(plain.shape)}: tokens were added to its base. Merge it, and hand over "
                    "the whole model."
                )
            elif not torch.allclose(value.to(plain), plain, rtol=0.01, atol=1e-4):
                raise ModelError(
                    f"The adapter brings {path} with other values than this base has. Choose the "
                    "base that it was trained on."
                )
        return kept

    def _state(self) -> dict[str, Tensor]:
        if self._prompt_encoder_weight is not None:
            return {"prompt_embeddings": self._prompt_encoder_weight}
        everything = self.peft.state_dict(keep_vars=True)
        # Without base embeddings: looking for them would ask the Hub about the base.
        return get_peft_model_state_dict(
            self.peft, everything, adapter_name=NAME, save_embedding_layers=False
        )

    @property
    def _prompt_encoder_weight(self) -> Tensor | None:
        """The one tensor of most prompt methods; PEFT's own reading would detach it."""
        if not self._is_prompt or self.settings.method == "MULTITASK_PROMPT_TUNING":
            return None
        encoder: Any = self.peft.prompt_encoder[NAME]
        return encoder.embedding.weight

    def _add_virtual_tokens(self, model: PreTrainedModel) -> None:
        plain: Any = model.get_input_embeddings()
        first = plain.num_embeddings
        task = torch.zeros(1, dtype=torch.long, device=plain.weight.device)
        own = VirtualTokens(plain, lambda: self.peft.get_prompt(1, task_ids=task)[0], first)
        for module in list(model.modules()):
            for child_name, child in module.named_children():
                if child is plain:
                    self._places.append(Place(module, child_name, own, plain))
        config: Any = self.peft.peft_config[NAME]
        self.virtual_tokens = list(range(first, first + config.num_virtual_tokens))


def _first_task(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
    """Poly asks which task each row is of; only adapters of one task are taken."""
    return args, {**kwargs, "task_ids": args[0].new_zeros(len(args[0]), dtype=torch.long)}


def _replaced(module: nn.Module, before: dict[str, nn.Module], path: str = "") -> Iterator[Place]:
    """Topmost modules that are not those of before."""
    for name, child in module.named_children():
        place = f"{path}.{name}" if path else name
        if before.get(place) is child:
            yield from _replaced(child, before, place)
        else:
            yield Place(module, name, child, before.get(place))
