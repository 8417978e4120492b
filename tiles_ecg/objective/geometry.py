"""What the embedding space looks like: alignment and uniformity on the sphere, effective rank (collapse shows)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def alignment(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared distance between the normalised projections of two views; 0 is perfect.

    Args:
        first: (B, P).
        second: (B, P), row i another view of the same window.

    References:
        Wang and Isola, Understanding Contrastive Representation Learning through Alignment and Uniformity on the
        Hypersphere, ICML 2020, eq. 8 with alpha = 2.
    """
    return (F.normalize(first, dim=1) - F.normalize(second, dim=1)).square().sum(1).mean()


def uniformity(projection: Tensor) -> Tensor:
    """Logarithm of the mean Gaussian potential over all pairs; 0 is collapse, about -4 spread over the sphere.

    Args:
        projection: (B, P), B >= 2.

    References:
        Wang and Isola 2020 (see `alignment`), eq. 9 with t = 2.
    """
    squared = F.pdist(F.normalize(projection, dim=1)).square()
    return torch.logsumexp(-2 * squared, 0) - torch.log(torch.tensor(float(len(squared)), device=projection.device))


def effective_rank(embedding: Tensor) -> Tensor:
    """Exponential of the entropy of the normalised singular values of centred embeddings: 1 is collapse, D the most.

    Args:
        embedding: (B, D).

    References:
        Roy and Vetterli, The effective rank: a measure of effective dimensionality, EUSIPCO 2007.
    """
    singular = torch.linalg.svdvals((embedding - embedding.mean(0)).float())
    share = singular / singular.sum().clamp_min(torch.finfo(torch.float32).tiny)
    return torch.exp(-torch.special.xlogy(share, share).sum())
