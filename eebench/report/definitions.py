"""The words at the end of every page: what each number means, so that no reader has to guess."""

from __future__ import annotations

from collections.abc import Mapping

PROTOCOLS: Mapping[str, str] = {
    "paper": " (as in the papers: settings are chosen on the split that is reported)",
    "blind": " (settings are chosen on a slice of the training set that is never reported)",
}
"""What a protocol of a suite says about the choice of settings."""

DEFINITIONS: tuple[str, ...] = (
    "**Score**: the metric of the task in percent; mean over seeds, ± the standard deviation over seeds "
    "(divisor n - 1), which one seed does not have. "
    "Figures of at most six lines show it as bands, figures of more leave it to the tables. Figures of a task with "
    "more than 16 methods show each method once and leave variants, labels of their own, to the tables.",
    "**Speed-up** (FLOPs): FLOPs of the full model (the whole backbone with its ordinary classifier) divided "
    "by the mean FLOPs per sample, both under the named cost convention; over seeds, the ratio of the means. "
    "It counts arithmetic, not time: no clock was involved.",
    "**Layers speed-up**: layers of the backbone divided by the mean number of layers that ran for a sample "
    "(its exit's, where none is skipped); it gives the exits, gates and rules away for free, as several "
    "papers do.",
    "**Cost convention**: what counts as a FLOP. `full_2mac` counts two per multiply-accumulate of every "
    "linear map, the attention products, and every exit, gate and rule step; `linear_2mac` linear maps only; "
    "`torch110_profiler`, COST-EFF's, linear maps and one per element of a sum. `@128` charges every sample "
    "128 tokens, `@real` its own length. Numbers under "
    "different conventions must not be compared.",
    "**Operating point**: per task, the setting whose FLOPs speed-up is nearest to 2.00x, of all settings that decide "
    "differently on some sample. The choice looks at the speed-up and never at the score. The speed-up in the "
    "table is the mean over its tasks.",
    "**Static**: a method with one exit for all samples; it has nothing to tune, so its one point is shown.",
    "**Default rule**: the exit rule of the method's own paper; tables and figures show each method under "
    "it. Other rules are in `points.csv` and in the summary.",
    "**Pareto front**: the points that no other point of the figure beats in cost and score at once; between "
    "two of them it is a step, because the better score still costs what the dearer point costs.",
    "**Full**: the score of the method's own last exit, against which its curve is measured. A method that "
    "trains a weak last exit has an easy target, so compare it with the fine-tuned backbone too.",
    "**Speed-up at -1 pt**: the largest FLOPs speed-up of a setting that scores at most one point (0.01) "
    "below full; a dash if no setting does.",
    "**Score at 2x**: the best score of a setting at least twice as fast as the full model (2.00x as printed); a dash "
    "if none is. Nothing is interpolated. Unlike the operating point, this is a best case, chosen by score.",
    "**Area**: the integral over the relative cost from 0 to 1 of the best score attainable at that cost or "
    "less, 0 where nothing is affordable; higher is better, and only curves of one task compare.",
)
"""One line of Markdown each."""

BLIND = (
    "**Blind**: operating point, speed-up at -1 pt and score at 2x choose their setting on the held-out slice of "
    "the training set (its rows in `points.csv` have the split `holdout`) and show what that setting does on the "
    "split reported, where the speed-up can be a little outside the bound it was chosen by. Full and area are those "
    "of the split reported."
)
"""What is different on a page whose settings were chosen on a held-out slice."""
