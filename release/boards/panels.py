"""The kinds of panels of a board, and how they look."""

from collections.abc import Iterable, Mapping, Sequence

from grafana_foundation_sdk.builders import common, dashboard, stat, table, timeseries
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
HEIGHT, STAT_HEIGHT = 8, 4
Query = tuple[str, str]  # the query, and the legend of its series
Color = tuple[float, str]  # from this value on, this colour

GOOD, WARN, BAD, CALM = "green", "orange", "red", "text"
HELD = {"account": BAD, "provider": WARN, "configuration": "purple"}  # why a group is held


def number(
    title: str,
    description: str,
    query: str,
    *,
    unit: str = "short",
    colors: Iterable[Color] = (),
    first: str = GOOD,
    words: Mapping[str, tuple[str, str]] | None = None,
    legend: str = "",
    width: int = 4,
    none: str = "–",
) -> stat.Panel:
    """The present value of each series, in the colour of what it means; `words` stand for single values."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(width)
        .height(STAT_HEIGHT)
        .no_value(none)
        .thresholds(_thresholds(first, colors))
        .color_mode(looks.BigValueColorMode.VALUE)
        .graph_mode(looks.BigValueGraphMode.NONE)
        .text_mode(looks.BigValueTextMode.VALUE_AND_NAME if legend else looks.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(query, legend, "A").instant())
    )
    if words:
        shown = {value: ValueMappingResult(text=word, color=color) for value, (word, color) in words.items()}
        panel.mappings([ValueMap(options=shown)])
    return panel


def graph(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str = "short",
    axis: str = "",
    width: int = 8,
    stacked: bool = False,
    line_at: float | None = None,
    reaches: float | None = None,
    most: float | None = None,
    colors: Mapping[str, str] | None = None,
    shades: str = "",
    dashed: str = "",
    none: str = "",
) -> timeseries.Panel:
    """Series over time.

    `line_at`: where it becomes bad. `reaches`: what the axis shows at least. `colors`: of the series whose
    name fits a pattern; `shades`: of one colour, for all. `dashed`: a pattern of series that are bounds.
    `none`: what is said when there is no series, where that is well.
    """
    panel = _lines(stacked).title(title).description(description).unit(unit).span(width).axis_label(axis)
    if none:
        panel.no_value(none)
    if most is not None:
        panel.max(most)
    if reaches is not None:
        panel.axis_soft_max(reaches)
    if line_at is not None:
        panel.thresholds(_thresholds("transparent", [(line_at, BAD)]))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(looks.GraphTresholdsStyleMode.DASHED))
    if shades:
        panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.SHADES).fixed_color(shades))
    for pattern, color in (colors or {}).items():
        fixed = {"mode": FieldColorModeId.FIXED, "fixedColor": color}
        panel.override_by_regexp(pattern, [DynamicConfigValue(id_val="color", value=fixed)])
    if dashed:
        panel.override_by_regexp(
            dashed,
            [
                DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 6]}),
                DynamicConfigValue(id_val="custom.fillOpacity", value=0),
            ],
        )
    for place, (query, legend) in enumerate(queries):
        panel.with_target(_target(query, legend, chr(ord("A") + place)).range())
    return panel


def _lines(stacked: bool) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .datasource(SOURCE)
        .height(HEIGHT)
        .min(0)
        .fill_opacity(70 if stacked else 8)
        .line_width(0 if stacked else 1)  # a line of what is zero would lie on top of the others
        .show_points(looks.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(looks.LegendDisplayMode.LIST)
            .placement(looks.LegendPlacement.BOTTOM)
        )
        .tooltip(
            common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    return panel


def bands(
    title: str, description: str, query: Query, *, colors: Mapping[str, str], width: int, none: str
) -> timeseries.Panel:
    """When each series was there, as a band of its colour: a bar of height 1 for each sample."""
    return (
        graph(title, description, [query], width=width, stacked=True, colors=colors, none=none)
        .draw_style(looks.GraphDrawStyle.BARS)
        .bar_width_factor(1)
        .axis_placement(looks.AxisPlacement.HIDDEN)
    )


def listing(title: str, description: str, query: str, columns: Mapping[str, str], width: int) -> table.Panel:
    """A row for each series, with the labels of `columns` under these names."""
    hidden = {"Time": True, "Value": True, "__name__": True}
    organize = {"excludeByName": hidden, "renameByName": dict(columns)}
    keep = {"include": {"names": list(columns)}}
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(width)
        .height(HEIGHT)
        .no_value("none")
        .show_header(True)
        .with_target(_target(query, "", "A").instant().format(PromQueryFormat.TABLE))
        .with_transformation(DataTransformerConfig(id_val="filterFieldsByName", options=keep))
        .with_transformation(DataTransformerConfig(id_val="organize", options=organize))
    )


def _target(query: str, legend: str, name: str) -> Dataquery:
    return Dataquery().ref_id(name).datasource(SOURCE).expr(query).legend_format(legend)


def _thresholds(first: str, colors: Iterable[Color]) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color=first), *(Threshold(value=at, color=color) for at, color in colors)]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
