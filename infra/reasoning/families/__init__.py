"""The families by name. One module a family; `base.Family` is their contract."""

from app.errors import InvalidInput
from infra.reasoning.base import Family
from infra.reasoning.families.base_conversion import BaseConversion
from infra.reasoning.families.bitwise_arithmetic import BitwiseArithmetic
from infra.reasoning.families.calendar_arithmetic import CalendarArithmetic
from infra.reasoning.families.chain_sum import ChainSum
from infra.reasoning.families.coin_flip import CoinFlip
from infra.reasoning.families.count_bits import CountBits
from infra.reasoning.families.gcd_lcm import GcdLcm
from infra.reasoning.families.letter_counting import LetterCounting
from infra.reasoning.families.long_multiplication import LongMultiplication
from infra.reasoning.families.number_sorting import NumberSorting
from infra.reasoning.families.state_chain import StateChain
from infra.reasoning.families.string_manipulation import StringManipulation

_ALL: tuple[Family, ...] = (
    StateChain(),
    ChainSum(),
    GcdLcm(),
    LongMultiplication(),
    BaseConversion(),
    NumberSorting(),
    LetterCounting(),
    CountBits(),
    BitwiseArithmetic(),
    CoinFlip(),
    CalendarArithmetic(),
    StringManipulation(),
)
FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}


def family(name: str) -> Family:
    """Raises InvalidInput for an unknown name."""
    if name not in FAMILIES:
        raise InvalidInput(f"There is no family {name}.", hint=f"One of {', '.join(FAMILIES)}.")
    return FAMILIES[name]


__all__ = ["FAMILIES", "family"]
