"""Flags: what in the input of a case or vector makes a mistake visible; each with a note."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from refimpl.oracle.faults.fault import BugType

__all__ = ["FLAGS", "LICENCES", "Note", "lint"]


@dataclass(frozen=True)
class Note:
    """What a flag stands for.

    Args:
        bug_type: What kind of mistake it shows.
        effect: What the mistake does to the answer.
        links: Public threads, as owner/repository#number.
    """

    bug_type: BugType
    effect: str
    links: tuple[str, ...] = ()


FLAGS: dict[str, Note] = {
    "Attention": Note(
        "sharing",
        "tokens act on each other above a tracked layer: gradients computed token by token, "
        "without what flows back through later tokens, are too small",
    ),
    "BatchOfOne": Note(
        "normalisation",
        "a batch of one hides every division by the batch size, and divides by zero where n -"
        " 1 is meant",
    ),
    "BinaryOutputs": Note(
        "labels",
        "outputs are separate: a softmax over them, or a mean over outputs, changes every "
        "number",
        ("f-dangel/curvlinops#108",),
    ),
    "ClassWeights": Note(
        "labels",
        "the curvature's weight is that of the label's class: without it, or with the weight "
        "of the drawn class, S and Lambda are those of another loss",
    ),
    "CollinearInputs": Note(
        "precision",
        "eigenvalues of A lie far apart: factors accumulated in low precision lose the small "
        "ones",
    ),
    "ConstantInput": Note(
        "bias",
        "an input that is always 1 beside a bias makes A singular: inverses without damping "
        "blow up",
    ),
    "Convolution": Note(
        "sharing",
        "places of an image are positions of one weight: dividing by their number once too "
        "often makes the block too small",
        ("tensorflow/kfac#41",),
    ),
    "CustomIgnoreIndex": Note(
        "masking",
        "the ignored label is not -100: who tests for -100, or for negative labels, counts it",
    ),
    "DeadUnit": Note(
        "decomposition",
        "a unit that never fires leaves rows of zeros in A and S: divisions by their trace or"
        " by eigenvalues give NaN",
        ("TRAIS-Lab/dattri#184",),
    ),
    "Deep": Note(
        "coverage",
        "several layers of a kind: one that is left out, or counted twice, shows",
    ),
    "DegenerateSpectrum": Note(
        "decomposition",
        "an eigenvalue repeats: EK-FAC depends on the basis that an eigensolver happens to "
        "return, and two right implementations differ",
    ),
    "DilatedConvolution": Note(
        "layout",
        "patches are taken from neighbours instead of from further away",
    ),
    "EmptyExample": Note(
        "masking",
        "an example without a counted token has no gradient and counts in N: a mean over its "
        "tokens is 0/0",
    ),
    "EqualLengths": Note(
        "normalisation",
        "lengths are equal, so a mean over tokens is the sum over a constant: that constant "
        "is seen alone",
        ("tensorflow/kfac#41",),
    ),
    "FrozenLayers": Note(
        "coverage",
        "only some layers are tracked: others, counted all the same, change shapes and sums",
    ),
    "GradedInputs": Note(
        "precision",
        "inputs differ in size by powers of two: small entries drown in large ones",
    ),
    "GradedSpectrum": Note(
        "precision",
        "eigenvalues fall by orders of magnitude: the small ones are lost in low precision",
    ),
    "GroupedConvolution": Note(
        "layout",
        "groups are maps of their own: one factor for all mixes their channels",
    ),
    "HarmlessDegeneracy": Note(
        "decomposition",
        "an eigenvalue of S repeats, but S is the same for every example: EK-FAC is still "
        "unique, and an implementation that is not lost it otherwise",
    ),
    "HostilePadding": Note(
        "masking",
        "padding holds 1024: whoever looks at it, in A, in S or in the loss, is far off",
        ("EleutherAI/bergson#123",),
    ),
    "IgnoredTokens": Note(
        "masking",
        "tokens without a loss stand before or between those that count: a mask by length "
        "keeps them",
        ("EleutherAI/bergson#123",),
    ),
    "IntegerInput": Note(
        "layout",
        "inputs are indices: casting them to a real dtype, or scaling them, fails",
    ),
    "LabelSmoothing": Note(
        "labels",
        "the target is no longer one class: gradients change, the curvature does not",
    ),
    "LabelsDisagree": Note(
        "labels",
        "labels are what the model thinks least likely: the empirical Fisher is far from the "
        "Fisher",
        ("f-dangel/curvlinops#108",),
    ),
    "LargeDamping": Note(
        "damping",
        "the damping dwarfs the curvature: added twice, squared or left out, it sets the "
        "scale",
    ),
    "LargeInputs": Note(
        "precision",
        "inputs near 256: squares overflow float16, and sums lose digits",
    ),
    "LargeLogits": Note(
        "precision",
        "logits near 1000: exp overflows unless the largest is taken off first",
    ),
    "LargeResiduals": Note(
        "labels",
        "residuals of size 2: the empirical Fisher of squared error is several times the "
        "Fisher",
        ("f-dangel/curvlinops#108",),
    ),
    "LayerOrder": Note(
        "layout",
        "the flat vector's order is not the model's; equal sizes hide the exchange",
    ),
    "LinearNetwork": Note(
        "normalisation",
        "K-FAC is the Gauss-Newton block here: factors can be judged without a reference",
    ),
    "MixedBias": Note(
        "bias",
        "some layers have a bias and some have none: a column for all, or for none, fails",
    ),
    "NoBias": Note(
        "bias",
        "no layer has a bias: a column of ones, added all the same, changes shapes",
    ),
    "NonZeroMeanInput": Note(
        "bias",
        "inputs have mean 0.5: centred covariances, and a bias column of zeros, differ from A",
        ("EleutherAI/bergson#277",),
    ),
    "OblongKernel": Note(
        "layout",
        "kernel, stride, padding and dilation differ by axis: exchanged axes show",
    ),
    "OddLastBatch": Note(
        "normalisation",
        "the last batch is short: a mean of the batches' means weighs it too much, and "
        "drop_last loses it",
    ),
    "OneClass": Note(
        "decomposition",
        "no curvature at all: relative damping, or a division by a trace, is 0/0",
    ),
    "OneExample": Note(
        "normalisation",
        "N = 1: division by n - 1 fails, and K-FAC is the Gauss-Newton block",
    ),
    "OneHotInput": Note(
        "decomposition",
        "A is a diagonal of equal numbers: every basis is an eigenbasis",
    ),
    "OneLabel": Note(
        "labels",
        "training labels are all one class: counting classes from the data makes the outputs "
        "too few",
    ),
    "OneLayer": Note(
        "coverage",
        "the only layer is the first and the last: loops over hidden layers are empty",
    ),
    "OneOutput": Note("layout", "one output: squeezed axes vanish, and shapes broadcast"),
    "OnesNullVector": Note(
        "decomposition",
        "softmax leaves an exact null vector in the last S: a negative eigenvalue by rounding"
        " must not turn into NaN under a root",
        ("TRAIS-Lab/dattri#184",),
    ),
    "PaddedConvolution": Note(
        "layout",
        "patches reach beyond the image: without padding there are too few",
    ),
    "PaddingMode": Note(
        "layout",
        "the image is not padded with zeros: patches taken as if it were differ at the edge",
    ),
    "PiecewiseLinear": Note(
        "state",
        "an activation in place overwrites what the layer before it had saved",
        ("f-dangel/curvlinops#59",),
    ),
    "PooledPositions": Note(
        "sharing",
        "positions are averaged before the loss: expand and reduce differ, and both are "
        "claimed",
        ("tensorflow/kfac#41",),
    ),
    "PosWeight": Note("labels", "positives weigh more: gradients and curvature both carry it"),
    "RankDeficient": Note(
        "damping",
        "fewer examples than parameters: without damping there is no inverse",
    ),
    "RepeatedCall": Note(
        "sharing",
        "a module is called several times: a hook that keeps the last call loses the others",
    ),
    "RepeatedExample": Note(
        "state",
        "inputs appear twice with different labels: what is keyed by input loses one",
    ),
    "Residual": Note("sharing", "gradients arrive by two ways: one alone is too small"),
    "SaturatedSoftmax": Note(
        "precision",
        "probabilities near 1: 1 - p loses its digits, and sampled labels are all one",
    ),
    "SeveralChannels": Note(
        "layout",
        "patches hold several channels: channels first or last changes A's order",
    ),
    "SoftTargets": Note(
        "labels",
        "targets between 0 and 1: rounding them to labels changes the gradients",
    ),
    "SquareLayer": Note(
        "layout",
        "a layer has as many outputs as inputs: a transpose, or A and S exchanged, changes no"
        " shape",
        ("f-dangel/curvlinops#182",),
    ),
    "SquaredError": Note(
        "normalisation",
        "half the squared distance: a factor 2 in the loss or in the sampled labels shows",
        ("f-dangel/curvlinops#82",),
    ),
    "StridedConvolution": Note(
        "layout",
        "patches skip places: taken at stride 1 there are too many",
    ),
    "TiedWeights": Note(
        "sharing",
        "two modules hold one parameter: counted once, or as two blocks, gradient and "
        "curvature differ",
        ("pytorch/pytorch#164759",),
    ),
    "TinyDamping": Note(
        "damping",
        "lambda = 1e-8: whoever adds a floor, or inverts in float32, is far off",
    ),
    "TokenGrid": Note(
        "sharing",
        "two token axes: taking the second axis for all tokens loses the third",
    ),
    "TokenMixing": Note(
        "sharing",
        "tokens act on each other: squaring each token's gradient before the sum gives "
        "another Lambda",
        ("f-dangel/curvlinops#127",),
    ),
    "UnequalLengths": Note(
        "normalisation",
        "examples count unequally many tokens: a mean over tokens is another loss",
    ),
    "ZeroCurvature": Note(
        "decomposition",
        "a block without curvature: only the damping is inverted there",
    ),
    "ZeroPadding": Note(
        "masking",
        "padding holds zeros, but its bias coordinate is 1: A's last entry counts it",
    ),
    # Of vectors alone: what must be refused, and what may be.
    "NaNInput": Note(
        "state",
        "an input is NaN: replaced by zero, every number looks fine",
        ("TRAIS-Lab/dattri#184",),
    ),
    "NegativeDamping": Note(
        "damping",
        "lambda < 0: the matrix is indefinite, and a solver may not notice",
    ),
    "NoExamples": Note("state", "there is no training example: a mean of nothing is NaN"),
    "ShapeMismatch": Note("layout", "fewer labels than inputs: whatever zips them drops the rest"),
    "UnknownLayer": Note(
        "coverage",
        "a tracked layer does not exist: silently omitted, its influence is lost",
    ),
    "LabelOutOfRange": Note(
        "labels",
        "a label is no class: an index that wraps around takes another's",
    ),
    "InfiniteWeight": Note("precision", "a weight is infinite: softmax of it is NaN"),
    "MissingParameter": Note(
        "coverage",
        "a layer has no weight: one made up at random answers all the same",
    ),
    "RankDeficientNoDamping": Note(
        "damping",
        "lambda = 0 and G is singular: an inverse does not exist; a pseudo-inverse does",
    ),
}  # fmt: skip

# Flags that allow a vector's `expect` to be "either".
LICENCES = ("RankDeficientNoDamping", "EmptyExample", "OneClass")


def lint(used: Mapping[str, Iterable[str]]) -> list[str]:
    """What is wrong with the use of flags: those without a note, and notes without a use.

    Args:
        used: Flags by the id of the case or vector.
    """
    wrong = [
        f"{id}: flag {flag!r} has no note in refimpl/oracle/vectors/flags.py"
        for id, flags in used.items()
        for flag in flags
        if flag not in FLAGS
    ]
    seen = {flag for flags in used.values() for flag in flags}
    return wrong + [f"flag {flag!r} is used by nothing" for flag in FLAGS if flag not in seen]
