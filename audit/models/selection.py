"""Chooses the transformers class that a configuration and the declared architecture ask for."""

from inspect import signature
from typing import Any, Literal, NamedTuple

import transformers

from audit.errors import RefusedCheckpoint

Task = Literal["causal", "masked", "encoder", "seq2seq"]

_HEADED: dict[Task, Any] = {
    "seq2seq": transformers.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    "masked": transformers.MODEL_FOR_MASKED_LM_MAPPING,
    "causal": transformers.MODEL_FOR_CAUSAL_LM_MAPPING,
}


class Choice(NamedTuple):
    """The class to build, and whether the checkpoint says itself that it is of this class."""

    model_class: Any
    task: Task
    declared: bool


def choose(config: Any) -> Choice:
    """The class for `config`: the declared one if it is a language model or its base, else by type.

    A classifier, a question answerer, or a checkpoint that declares nothing, is built as the language model of
    its type, whose head is dropped later if the files lack it. Raises RefusedCheckpoint for a type that has no
    model over token ids.
    """
    choice = _declared(config) or _by_type(config) or _by_name(config)
    if choice is None:
        raise RefusedCheckpoint(
            f"model type {config.model_type!r} has no model over text in transformers {transformers.__version__}"
        )
    if "input_ids" not in signature(choice.model_class.forward).parameters:
        raise RefusedCheckpoint(
            f"model type {config.model_type!r} takes {choice.model_class.main_input_name!r}, not token ids: "
            "only models over text are audited"
        )
    return choice


def _declared(config: Any) -> Choice | None:
    name = _architecture(config)
    for task in dict.fromkeys([*_order(config), *_HEADED]):
        found = _class(_HEADED[task], config)
        if found is not None and found.__name__ == name:
            return Choice(found, task, declared=True)
    encoder = _class(transformers.MODEL_FOR_TEXT_ENCODING_MAPPING, config)
    if encoder is not None and encoder.__name__ == name:
        return Choice(encoder, "encoder", declared=True)
    base = _class(transformers.MODEL_MAPPING, config)
    if base is not None and base.__name__ == name:
        return _headless(base, config)
    return None


def _headless(base: Any, config: Any) -> Choice:
    """A declared base model; a decoder whose head is its embedding has lost nothing and keeps its loss."""
    found = _by_type(config)
    tied = getattr(config.get_text_config(), "tie_word_embeddings", False)
    if found is not None and tied and found.task in {"causal", "seq2seq"}:
        return found
    return Choice(base, "seq2seq" if config.is_encoder_decoder else "encoder", declared=True)


def _by_type(config: Any) -> Choice | None:
    for task in _order(config):
        if (found := _class(_HEADED[task], config)) is not None:
            return Choice(found, task, declared=False)
    for mapping in (transformers.MODEL_FOR_TEXT_ENCODING_MAPPING, transformers.MODEL_MAPPING):
        if (found := _class(mapping, config)) is not None:
            return Choice(found, "seq2seq" if config.is_encoder_decoder else "encoder", declared=False)
    return None


def _by_name(config: Any) -> Choice | None:
    """The declared class where transformers has it for this configuration, yet lists it under no task."""
    named: Any = getattr(transformers, _architecture(config), None)
    known = isinstance(named, type) and issubclass(named, transformers.PreTrainedModel)
    if not known or named.config_class is not type(config):
        return None
    if config.is_encoder_decoder:
        return Choice(named, "seq2seq", declared=True)
    return Choice(named, "causal" if named.__name__.endswith("ForCausalLM") else "encoder", declared=True)


def _architecture(config: Any) -> str:
    names = getattr(config, "architectures", None) or [""]
    return str(names[0])


def _order(config: Any) -> list[Task]:
    if config.is_encoder_decoder:
        return ["seq2seq"]
    return ["causal", "masked"] if getattr(config, "is_decoder", False) else ["masked", "causal"]


def _class(mapping: Any, config: Any) -> Any:
    found = mapping.get(type(config), None)
    return found[0] if isinstance(found, tuple) else found
