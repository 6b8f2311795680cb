// Draws each chart from the rows of its region, and again when they change.
for (const figure of document.querySelectorAll(".chart[data-of]")) {
  const { of, column, label, sign = "" } = figure.dataset;
  const region = document.getElementById(of);
  const read = () => {
    const rows = [...region.querySelectorAll("[data-point]")].map((row) => row.dataset.point.split(" ").map(Number));
    return [rows.map((row) => row[0]), rows.map((row) => row[column])];
  };
  const size = () => ({ width: figure.clientWidth, height: 240 });
  const write = (_, value) => value == null ? "–" : sign + value.toLocaleString("en", { maximumFractionDigits: 4 });
  const draw = () => {
    const style = getComputedStyle(figure), colour = (name) => style.getPropertyValue("--" + name);
    const grid = { stroke: colour("line"), width: 1 }, axis = { stroke: colour("soft"), grid, ticks: grid };
    const line = { label, value: write, stroke: colour("accent"), fill: colour("accent-soft"), width: 2, points: { show: false } };
    if (!sign) line.paths = uPlot.paths.stepped({ align: -1 });
    return new uPlot({
      ...size(),
      tzDate: (time) => uPlot.tzDate(new Date(time * 1e3), "UTC"),
      scales: { y: { range: (_, least, most) => [0, most * 1.05 || 1] } },
      axes: [axis, { ...axis, size: 72, values: (plot, ticks) => ticks.map((tick) => write(plot, tick)) }],
      series: [{ label: "Time (UTC)" }, line],
    }, read(), figure);
  };
  figure.hidden = false;
  let plot = draw();
  new MutationObserver(() => plot.setData(read())).observe(region, { childList: true, subtree: true, attributes: true });
  new ResizeObserver(() => plot.setSize(size())).observe(figure);
  matchMedia("(prefers-color-scheme: dark)").onchange = () => { plot.destroy(); plot = draw(); };
}
