"""NT-Xent, the contrastive loss of SimCLR, on one device or on the rows of one device among many."""

import torch
import torch.nn.functional as F
from torch import Tensor


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy (NT-Xent), averaged over all 2B anchors.

    Rows i of `first` and `second` are the two views of window i; the other 2B - 2 rows are its negatives.

    Args:
        first: Projections of the first views, (B, P), B >= 2. They need not be normalised.
        second: Projections of the second views, (B, P).
        temperature: Softmax temperature, > 0. The paper's best is 0.1 (Table 5).

    Raises:
        ValueError: If the shapes differ, there are no negatives (B < 2), or the temperature is not positive.

    References:
        Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020, eq. 1.
    """
    return nt_xent_rows(first, second, first, second, 0, temperature)


def nt_xent_rows(
    first: Tensor, second: Tensor, all_first: Tensor, all_second: Tensor, offset: int, temperature: float
) -> Tensor:
    """NT-Xent averaged over the anchors of one process, against the projections of all processes.

    With equal batches and gradients that flow through the gathered projections, the mean of this over the processes is
    NT-Xent of the global batch, and so is its gradient.

    Args:
        first: This process's projections of first views, (B, P).
        second: This process's projections of second views, (B, P).
        all_first: Projections of the first views of all processes in rank order, (N, P), N >= 2, with gradient.
        all_second: The same of the second views, (N, P).
        offset: Row of `all_first` at which `first` stands: rank x B.
        temperature: Softmax temperature, > 0.

    Raises:
        ValueError: As for `nt_xent`.
    """
    if first.shape != second.shape or all_first.shape != all_second.shape:
        raise ValueError(f"first views {tuple(first.shape)} and second views {tuple(second.shape)} differ in shape")
    if len(all_first) < 2:
        raise ValueError(f"a batch of {len(all_first)} window has no negatives; NT-Xent needs at least 2")
    if not temperature > 0:
        raise ValueError(f"temperature = {temperature}; it must be positive (SimCLR's best is 0.1)")
    anchor = F.normalize(torch.cat([first, second]).float(), dim=1)  # (2B, P)
    other = F.normalize(torch.cat([all_first, all_second]).float(), dim=1)  # (2N, P)
    row = torch.arange(len(first), device=first.device) + offset
    myself = torch.cat([row, row + len(all_first)])  # where each anchor stands among the others
    partner = torch.cat([row + len(all_first), row])
    logits = anchor @ other.T / temperature  # (2B, 2N)
    logits = logits.scatter(1, myself[:, None], -torch.inf)  # an anchor is not its own negative
    return F.cross_entropy(logits, partner)
