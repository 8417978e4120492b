"""Names for the ranges of arguments: signatures use them, and the config validator checks them before anything is built."""

from typing import Annotated

from pydantic import Field

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
"""A probability or a share, 0 to 1."""
