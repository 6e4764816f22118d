"""Modified backward passes as composites of rules: deconvnet, guided and excitation backpropagation."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from ..arrays import like, positive
from ..composites import Composite
from ..composites.matchers import Name, Type
from ..errors import HeadError, ParameterError
from ..explainer import Explainer
from ..forks import cached_property
from ..layers.activations import Activation, ReLU, Softmax
from ..layers.base import BaseEmbedding, Layer, Linear
from ..layers.conv import Conv
from ..layers.functions import Choice
from ..layers.linear import Dense
from ..layers.pooling import Selecting
from ..layers.shape import Rearrangement
from ..network.model import ancestors
from ..propagate.explanation import Explanation
from ..propagate.heads import Logit
from ..rules import ChoiceTakesAll, Gradient, Pass, Rule, WinnerTakesAll, ZPlus
from .backward_rules import ContrastivePass, DeconvPass, GuidedPass, rectified
from .gradients import GradientMethod


@dataclass(frozen=True, eq=False)
class RectifiedMethod(GradientMethod):
    """A gradient whose way through ReLUs is another (`CONV-RECTIFIED`).

    Parameters
    ----------
    model : the network, with a ReLU
    head, output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    ParameterError
        Where the explained output depends on no ReLU.
    """

    needs: ClassVar[str] = "ReLUs, and a derivative of every other layer"
    _rule: ClassVar[Rule]

    @cached_property
    def _pass(self) -> Explainer:
        return self._explainer(rectified(self._rule, self.name))

    def _check(self) -> None:
        if not any(isinstance(layer, ReLU) for layer in self._layers().values()):
            raise ParameterError(f"{self.name} changes what ReLUs hand on, and this network has none: methods.Gradient is it")
        super()._check()

    def _layers(self) -> dict[str, Layer]:
        """The layers that the explained output depends on, by node."""
        model = self._scorer.model
        below = ancestors(model, *model.outputs)
        return {node.name: node.layer for node in model.nodes if node.name in below}

    @cached_property
    def _others(self) -> tuple[str, ...]:
        """Activations that are no ReLU, as a caution."""
        kinds = (ReLU, Softmax)
        others = [n for n, layer in self._layers().items() if isinstance(layer, Activation) and not isinstance(layer, kinds)]
        if not others:
            return ()
        return (f"{self.name} is defined at ReLUs: through {', '.join(others)} goes the gradient",)

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        e = self._pass(x, target, targets=targets, contrast=contrast)
        return self._renamed(e, cautions=(*e.cautions, *self._others))


@dataclass(frozen=True, eq=False)
class Deconvnet(RectifiedMethod):
    r"""The deconvnet: a gradient of which each ReLU hands the positive part on (Zeiler & Fergus 2014).

    .. math:: R_j = \max(0, R_j) \text{ at a ReLU}, \qquad R = J^\top R \text{ elsewhere}

    No ReLU looks at what it did on the way up; pooling hands on to its winners.

    Parameters
    ----------
    model : the network, with a ReLU
    head, output, backend, precision, threads, memory : as of every `ModelMethod`
    """

    formula: ClassVar[str] = r"R_j = \max(0, R_j) \text{ at a ReLU}, R = J^T R \text{ elsewhere}"
    source: ClassVar[str] = "Zeiler & Fergus 2014; Montavon et al. 2018, §4.3"
    _rule: ClassVar[Rule] = DeconvPass()


@dataclass(frozen=True, eq=False)
class GuidedBackprop(RectifiedMethod):
    r"""Guided backpropagation: a gradient of which each open ReLU hands the positive part on (Springenberg et al. 2015).

    .. math:: R_j = [z_j > 0]\, \max(0, R_j) \text{ at a ReLU}, \qquad R = J^\top R \text{ elsewhere}

    Parameters
    ----------
    model : the network, with a ReLU
    head, output, backend, precision, threads, memory : as of every `ModelMethod`
    """

    formula: ClassVar[str] = r"R_j = [z_j > 0] \max(0, R_j) \text{ at a ReLU}, R = J^T R \text{ elsewhere}"
    source: ClassVar[str] = "Springenberg et al. 2015"
    _rule: ClassVar[Rule] = GuidedPass()


@dataclass(frozen=True, eq=False)
class ExcitationBackprop(GradientMethod):
    r"""Excitation backpropagation: probabilities that go down in the shares of z⁺ (Zhang et al. 2018; `CONV-EB-INPUT`).

    .. math:: P_j = \sum_k \frac{a_j w_{jk}^+}{\sum_j a_j w_{jk}^+} P_k

    from P = 1 at the score. The contrastive form starts at the layer of the score with the shares of w⁺ less those of (−w)⁺, and
    shows the positive part of what arrives.

    Parameters
    ----------
    model : the network: linear layers, pooling, activations that are not negative
    contrastive : whether what speaks against the score is taken away
    head : "logit", where the output is a probability: the method starts with 1, whatever the score is
    output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    RuleError
        Where nodes have no share of z⁺; all of them are listed.
    ParameterError
        Where contrastive=True and the score is not that of a dense layer or convolution.
    """

    contrastive: bool = False
    _: KW_ONLY

    formula: ClassVar[str] = r"P_j = \sum_k \frac{a_j w_{jk}^+}{\sum_j a_j w_{jk}^+} P_k"
    needs: ClassVar[str] = "linear layers, pooling, activations ≥ 0"
    conserves: ClassVar[str] = "1, where no pool is empty; the contrastive form: nothing"
    source: ClassVar[str] = "Zhang et al. 2018; Samek et al. 2019, §8.5"

    @cached_property
    def _pass(self) -> Explainer:
        below = (
            (Type(Linear), ZPlus()),
            (Type(Selecting), WinnerTakesAll()),
            (Type(Choice), ChoiceTakesAll()),
            (Type(Activation) & ~Type(Softmax), Pass()),
            (Type(Rearrangement, BaseEmbedding), Pass()),
        )
        top = tuple((Name(name), ContrastivePass()) for name in self._tops) if self.contrastive else ()
        return self._explainer(Composite((*top, *below), self.name))

    @cached_property
    def _tops(self) -> tuple[str, ...]:
        """The nodes whose scores are explained."""
        plain = self._explainer(Composite(((Type(Layer), Gradient()),), self.name))
        names = tuple(plain.explained_nodes)
        model = self._scorer.model
        wrong = [name for name in names if not isinstance(model[name].layer, (Dense, Conv))]
        if wrong:
            layer = type(model[wrong[0]].layer).__name__
            raise ParameterError(
                f"contrastive=True turns the weights of the score, and node {wrong[0]!r} ({layer}) has none: output= takes the "
                "name of a dense layer or convolution"
            )
        return names

    def _check(self) -> None:
        if type(self._head) not in (Logit, type(None)):
            raise HeadError(f"ExcitationBackprop starts with 1 at a score, and head={self.head!r} is none: head='logit'")
        super()._check()

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        if contrast is not None:
            raise ParameterError("ExcitationBackprop has no difference of scores: contrastive=True, or no contrast=")
        e = self._pass(x, target, targets=targets)
        if not self.contrastive:
            return self._renamed(e, shared=e.value * like(0, e.value) + like(1, e.value), doubt=None, ledger=None)
        return self._renamed(e, relevances={name: positive(a) for name, a in e.relevances.items()})
