"""Fit and plot of the Z peak in a dimuon mass spectrum."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from iminuit import Minuit
from iminuit.cost import ExtendedBinnedNLL

Z_WIDTH_GEV = 2.4952
FIT_RANGE_GEV = (70.0, 110.0)
BINS = 80
FEWEST_PAIRS = 200
NO_BACKGROUND = 1e-3

# What radiation off the muons does to the measured mass, found in 32,000 simulated Z: the core moves down; a
# tail begins so many widths below it and falls as a power. Analyses of data take this from simulation, too.
RADIATION_SHIFT_GEV = -0.12
TAIL_BEGINS = 1.8
TAIL_ORDER = 1.05

# Fine masses on which the curves are computed; wider than the fit, so that there is something to smear from.
_STEP = 0.05
_MASS = np.arange(50.0, 130.0 + _STEP / 2, _STEP)
_INSIDE = np.abs(_MASS - sum(FIT_RANGE_GEV) / 2) < (FIT_RANGE_GEV[1] - FIT_RANGE_GEV[0] + _STEP) / 2
_SMEAR = np.arange(-20.0, 20.0 + _STEP / 2, _STEP)

_START = {"signal": 0.95, "mass": 91.0, "sigma": 1.2, "background": 0.05, "slope": 0.03}
_LIMITS = {
    "signal": (0, None),
    "mass": (85, 97),
    "sigma": (0.3, 5),
    "background": (0, None),
    "slope": (0, 0.2),
}

INK = "#1b2430"
SIGNAL = "#c8342b"
BACKGROUND = "#2f6f9f"
FILL = "#f3d9cf"


class FitError(Exception):
    """The spectrum cannot be fitted, or the fit did not converge."""


@dataclass(frozen=True)
class Fit:
    """A fitted spectrum: parameters with errors (GeV; yields in events within the fit range) and its quality.

    The parameters are signal, mass, sigma, background and slope.
    """

    edges: np.ndarray
    counts: np.ndarray
    values: dict[str, float]
    errors: dict[str, float]
    chi2: float
    ndf: int

    def expected(self, edges: np.ndarray, part: str = "total") -> np.ndarray:
        """Return the expected number of events between neighbouring edges: `total` or `background`."""
        values = dict(self.values)
        if part == "background":
            values["signal"] = 0.0
        return np.diff(_below(edges, **values))


def breit_wigner(mass: float) -> np.ndarray:
    """Return the relativistic Breit-Wigner of the Z, its width growing with the mass, on the fine masses.

    The rise of the cross section with the mass and the fall of the parton densities about cancel near the
    peak, so neither is in the formula.
    """
    squared = _MASS**2
    return 1.0 / ((squared - mass**2) ** 2 + (squared * Z_WIDTH_GEV / mass) ** 2)


def resolution(sigma: float) -> np.ndarray:
    """Return how the measured mass differs from the true one: a Gaussian with a power law as its lower tail.

    The Gaussian of width `sigma` (GeV) is the momentum resolution of the detector; shift and tail (a Crystal
    Ball's) are the energy that the muons lose to photons.
    """
    pull = (_SMEAR - RADIATION_SHIFT_GEV) / sigma
    scale = (TAIL_ORDER / TAIL_BEGINS) ** TAIL_ORDER * np.exp(-(TAIL_BEGINS**2) / 2)
    below = scale / (TAIL_ORDER / TAIL_BEGINS - TAIL_BEGINS - np.minimum(pull, -TAIL_BEGINS)) ** TAIL_ORDER
    shape = np.where(pull > -TAIL_BEGINS, np.exp(-(pull**2) / 2), below)
    return shape / shape.sum()


def signal_shape(mass: float, sigma: float) -> np.ndarray:
    """Return the Breit-Wigner convolved with the resolution on the fine masses."""
    return np.convolve(breit_wigner(mass), resolution(sigma), mode="same")


def background_shape(slope: float) -> np.ndarray:
    """Return the falling exponential under the peak; `slope` in 1/GeV."""
    return np.exp(-slope * (_MASS - FIT_RANGE_GEV[0]))


def _cumulative(shape: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the share of a shape, as far as it is in the fit range, below each edge."""
    masses, heights = _MASS[_INSIDE], shape[_INSIDE]
    areas = np.concatenate([[0.0], np.cumsum((heights[1:] + heights[:-1]) / 2)])
    return np.interp(edges, masses, areas / areas[-1])


def _below(
    edges: np.ndarray, *, signal: float, mass: float, sigma: float, background: float, slope: float
) -> np.ndarray:
    """Return the expected number of events in the fit range below each edge."""
    peak = signal * _cumulative(signal_shape(mass, sigma), edges)
    return peak + background * _cumulative(background_shape(slope), edges)


def fit(masses: np.ndarray) -> Fit:
    """Fit the spectrum of dimuon masses (GeV) by an extended binned likelihood.

    Raises FitError when there are fewer than 200 pairs in the fit range or the fit does not converge.
    """
    counts, edges = np.histogram(masses, bins=BINS, range=FIT_RANGE_GEV)
    total = int(counts.sum())
    if total < FEWEST_PAIRS:
        low, high = FIT_RANGE_GEV
        raise FitError(f"only {total} muon pairs between {low:g} and {high:g} GeV: too few to fit")

    def expectation(at: np.ndarray, *values: float) -> np.ndarray:
        return _below(at, **dict(zip(_START, values, strict=True)))

    cost = ExtendedBinnedNLL(counts, edges, expectation, name=list(_START))
    yields = ("signal", "background")
    start = {name: value * (total if name in yields else 1) for name, value in _START.items()}
    minuit = Minuit(cost, **start)
    for name, limits in _LIMITS.items():
        minuit.limits[name] = limits
    minuit.strategy = 2
    minuit.migrad()
    if minuit.values["background"] < NO_BACKGROUND * total:
        # A parameter at the end of its range spoils the errors of all others, so this one leaves the fit.
        minuit.values["background"] = 0
        minuit.fixed["background"] = minuit.fixed["slope"] = True
        minuit.migrad()
    if not minuit.valid:
        raise FitError(f"the fit of the Z peak did not converge:\n{minuit.fmin}")
    return Fit(
        edges,
        counts,
        dict(zip(minuit.parameters, map(float, minuit.values), strict=True)),
        {name: 0.0 if minuit.fixed[name] else float(minuit.errors[name]) for name in minuit.parameters},
        float(minuit.fval),
        int(cost.ndata - minuit.nfit),
    )


def plot(fitted: Fit, path: Path, sample: str) -> None:
    """Draw spectrum, fit and pulls as a PNG; `sample` says in one line where the events are from.

    Matplotlib keeps a font list in its configuration folder, here put into the working folder, so that a job
    leaves nothing in HOME.
    """
    os.environ["MPLCONFIGDIR"] = str(Path.cwd() / "matplotlib")
    import matplotlib as mpl  # noqa: PLC0415 - reads MPLCONFIGDIR when it is imported

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415
    from matplotlib.ticker import MultipleLocator  # noqa: PLC0415

    style = {
        "font.size": 11,
        "axes.labelsize": 13,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.direction": "in",
        "ytick.direction": "in",
        "xtick.top": True,
        "ytick.right": True,
        "xtick.minor.visible": True,
        "ytick.minor.visible": True,
        "mathtext.fontset": "dejavusans",
    }
    edges, counts = fitted.edges, fitted.counts
    centres, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    expected = fitted.expected(edges)
    fine_edges = np.linspace(edges[0], edges[-1], 801)
    fine = (fine_edges[1:] + fine_edges[:-1]) / 2
    per_bin = width / (fine_edges[1] - fine_edges[0])
    total, background = (
        fitted.expected(fine_edges) * per_bin,
        fitted.expected(fine_edges, "background") * per_bin,
    )

    with mpl.rc_context(style):
        figure, (upper, lower) = plt.subplots(
            2, 1, figsize=(8, 7), sharex=True, gridspec_kw={"height_ratios": [3.6, 1], "hspace": 0.05}
        )
        upper.fill_between(fine, background, total, color=FILL, linewidth=0)
        upper.plot(fine, total, color=SIGNAL, linewidth=2, label="Breit–Wigner ⊗ resolution\n+ exponential", zorder=3)
        upper.plot(
            fine,
            background,
            color=BACKGROUND,
            linewidth=1.8,
            linestyle=(0, (5, 2)),
            label="Exponential alone",
            zorder=3,
        )
        seen = counts > 0
        upper.errorbar(
            centres[seen],
            counts[seen],
            yerr=np.sqrt(counts[seen]),
            fmt="o",
            color=INK,
            markersize=3.8,
            linewidth=1.1,
            label="Simulated data",
            zorder=4,
        )
        upper.set_ylim(0, 1.22 * float((counts + np.sqrt(counts)).max()))
        upper.set_ylabel(f"Muon pairs / {width:g} GeV")
        handles, labels = upper.get_legend_handles_labels()
        order = [labels.index(label) for label in sorted(labels, key=lambda label: label != "Simulated data")]
        upper.legend(
            [handles[number] for number in order],
            [labels[number] for number in order],
            loc="upper left",
            bbox_to_anchor=(0.015, 0.83),
            frameon=False,
            fontsize=10,
        )
        upper.text(
            0.03,
            0.945,
            r"$\mathbf{Z\,\rightarrow\,\mu^{+}\mu^{-}}$",
            transform=upper.transAxes,
            fontsize=17,
            va="center",
        )
        upper.text(0.03, 0.87, sample, transform=upper.transAxes, fontsize=10, va="center")
        values, errors = fitted.values, fitted.errors
        result = "\n".join(
            (
                rf"$m_Z = {values['mass']:.3f} \pm {errors['mass']:.3f}$ GeV",
                rf"$\sigma = {values['sigma']:.2f} \pm {errors['sigma']:.2f}$ GeV",
                rf"$N_Z = {values['signal']:.0f} \pm {errors['signal']:.0f}$",
                rf"$\chi^2 / \mathrm{{ndf}} = {fitted.chi2:.1f} / {fitted.ndf}$",
            )
        )
        upper.text(
            0.97,
            0.945,
            result,
            transform=upper.transAxes,
            fontsize=12,
            ha="right",
            va="top",
            linespacing=1.65,
        )

        pulls = (counts - expected) / np.sqrt(np.maximum(expected, 1e-9))
        limit = max(3.9, 1.15 * float(np.abs(pulls).max()))
        lower.axhspan(-2, 2, color="#e8ecf1", linewidth=0)
        lower.axhspan(-1, 1, color="#d5dce5", linewidth=0)
        lower.axhline(0, color=SIGNAL, linewidth=1.2)
        lower.errorbar(centres, pulls, yerr=1, fmt="o", color=INK, markersize=3.2, linewidth=0.9)
        lower.set_ylim(-limit, limit)
        lower.yaxis.set_major_locator(MultipleLocator(2))
        lower.set_ylabel("Pull")
        lower.set_xlabel(r"Dimuon mass $m_{\mu\mu}$ [GeV]")
        lower.set_xlim(edges[0], edges[-1])
        figure.align_ylabels()
        figure.savefig(path, dpi=150, bbox_inches="tight", facecolor="white")
        plt.close(figure)
