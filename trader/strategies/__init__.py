"""PURE. The strategies by name, and a task's parameters turned into one."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from fleet.errors import ConfigError
from trader.paper import PaperTerms
from trader.risk import RiskLimits
from trader.strategies.bbo import BboParams, BboStrategy
from trader.strategies.grid import GridParams, GridStrategy
from trader.strategy import Strategy

Model = TypeVar("Model", bound=BaseModel)

# name: (its parameters, how it is made)
REGISTRY: dict[str, tuple[type[BaseModel], Callable[[Any], Strategy]]] = {
    "grid": (GridParams, GridStrategy),
    "bbo": (BboParams, BboStrategy),
}


class Setup(NamedTuple):
    """All that STRATEGY_ID and STRATEGY_PARAMS say."""

    strategy: Strategy
    limits: RiskLimits
    terms: PaperTerms


def build(strategy_id: str, params: Mapping[str, Any]) -> Setup:
    """A strategy, its limits and the terms of paper trading. Raises ConfigError naming the parameter and the mend."""
    if strategy_id not in REGISTRY:
        near = difflib.get_close_matches(strategy_id, REGISTRY, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"strategy {strategy_id!r} is unknown; known are {', '.join(sorted(REGISTRY))}{hint}")
    own = {name: value for name, value in params.items() if name not in {"risk", "paper"}}
    model, make = REGISTRY[strategy_id]
    strategy = make(_checked(model, own, strategy_id))
    limits = _checked(RiskLimits, params.get("risk", {}), f"{strategy_id} risk")
    return Setup(
        strategy,
        limits.completed(strategy.order_size, strategy.exposure),
        _checked(PaperTerms, params.get("paper", {}), f"{strategy_id} paper"),
    )


def _checked(model: type[Model], values: object, where: str) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"strategy {where}: {_explain(error, model)}") from None


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"{name} is missing"
    if first["type"] == "extra_forbidden":
        return f"unknown parameter {name}; known are {', '.join(model.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{name}: {message}, got {str(first.get('input'))[:60]!r}" if name else message
