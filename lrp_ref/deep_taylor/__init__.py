r"""Rules as Taylor expansions: the root point that each rule of a linear layer stands for, where it has one.

Deep Taylor decomposition (Montavon et al. 2018, §5.2; Montavon et al. 2019, §10.2.3) models the relevance of an upper
neuron as a rescaled ReLU of the neurons below, and expands it at a root point :math:`\tilde a`:

.. math::

    \hat R_k(a) = \max\Big(0, \sum_{0,j} a_j w_{jk}\Big)\, c_k, \qquad
    R_k = \hat R_k(\tilde a) + \sum_{0,j} (a_j - \tilde a_j)\, w_{jk}\, c_k, \qquad c_k = R_k / z_k .

Every root point here lies on a line that starts from the activations, :math:`\tilde a = a - t\,d`, at

.. math:: t = \frac{z_k}{\sum_{0,j} d_j w_{jk} + e_k},

which without a stabiliser :math:`e_k` is where the line meets the hinge of the ReLU. So a rule is a direction d, and
neither its formula nor the engine of `lrp_ref.rules` is used: that the first-order terms are the rule's messages is
what the tests prove. A product of a gate and a signal has a root point too: `gated_product`.
"""

from .expansion import root_point, root_points
from .gated import GatedProduct, gated_product
from .lines import NO_ROOT, ROOTS, Line, Neurons, Root
from .points import RootPoint, RootPoints

__all__ = [
    "NO_ROOT",
    "ROOTS",
    "GatedProduct",
    "Line",
    "Neurons",
    "Root",
    "RootPoint",
    "RootPoints",
    "gated_product",
    "root_point",
    "root_points",
]
