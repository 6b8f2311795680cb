// Draws each chart from the rows of its region, and again when they change.
for (const figure of document.querySelectorAll(".chart[data-of]")) {
  const { of, column, label, from, sign = "" } = figure.dataset;
  const region = document.getElementById(of), read = () => {
    const rows = [...region.querySelectorAll("[data-point]")].map((row) => row.dataset.point.split(" ").map(Number));
    return [0, column].map((of) => rows.map((row) => row[of]));
  };
  const size = () => ({ width: figure.clientWidth, height: 240 });
  const amount = (_, value) => value == null ? "–" : sign + value.toLocaleString("en", { maximumFractionDigits: 4 });
  const time = (_, at) => at == null ? "–" : new Date(at * 1e3).toISOString().slice(from, 19).replace("T", " ");
  const axis = (write, more) => ({ stroke: colour("soft"), grid, ticks: grid, values: (_, ticks) => ticks.map((at) => write(_, at)), ...more });
  // Between two ticks, as times are written in whole ones.
  const seconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800];
  figure.hidden = false;
  const colour = (name) => () => getComputedStyle(figure).getPropertyValue("--" + name);
  const grid = { stroke: colour("line"), width: 1 };
  const line = { label, value: amount, stroke: colour("accent"), fill: colour("accent-soft"), width: 2, points: { show: false } };
  if (!sign) line.paths = uPlot.paths.stepped({ align: -1 });
  const plot = new uPlot({
    ...size(),
    scales: { y: { range: (_, least, most) => [0, most * 1.05 || 1] } },
    axes: [axis(time, { space: 90, incrs: seconds }), axis(amount, { size: 72 })],
    series: [{ label: "UTC", value: time }, line],
  }, read(), figure);
  new MutationObserver(() => plot.setData(read())).observe(region, { childList: true, subtree: true, attributes: true });
  new ResizeObserver(() => plot.setSize(size())).observe(figure);
  matchMedia("(prefers-color-scheme: dark)").onchange = () => plot.redraw();
}
