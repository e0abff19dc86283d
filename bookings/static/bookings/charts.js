"use strict";

// Draws an event's sales with uPlot. Without this script, the table has the numbers.
{
  const HEIGHT = 170;
  const DAY = 86400;
  const LENGTHS = { hour: 3600, day: DAY, week: 7 * DAY };
  // Steps of 1, 2 and 5 times a power of ten: nobody holds half a ticket.
  const WHOLE = Array.from({ length: 30 }, (_, n) => [1, 2, 5][n % 3] * 10 ** Math.floor(n / 3));

  const { unit, capacity, periods } = JSON.parse(document.getElementById("sales-data").textContent);
  const starts = periods.map(([start]) => Date.parse(start) / 1000);
  const end = starts.at(-1) + LENGTHS[unit];
  const latest = periods.length - 1;
  const [tickets, held, waiting] = [2, 3, 4].map((column) => periods.map((period) => period[column]));

  const number = new Intl.NumberFormat("en");
  const shortNumber = new Intl.NumberFormat("en", { notation: "compact" });
  const inUTC = (options) => {
    const format = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
    return (seconds) => format.format(seconds * 1000);
  };
  const time = inUTC({ hour: "2-digit", minute: "2-digit" });
  const day = inUTC({ day: "numeric", month: "short" });
  const date = inUTC({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
  const tickDate = unit === "week" ? inUTC({ day: "numeric", month: "short", year: "2-digit" }) : day;
  const nameOfPeriod = (start) => {
    if (unit === "hour") return `${day(start)}, ${time(start)}`;
    return unit === "week" ? `from ${date(start)}` : date(start);
  };

  // `light-dark()` is resolved only where a property uses it, and a canvas uses none.
  const colour = (element, token) => {
    element.style.color = `var(--${token})`;
    const resolved = getComputedStyle(element).color;
    element.style.color = "";
    return resolved;
  };

  const options = (element, { lines, top = 1 }) => {
    const font = `12px ${getComputedStyle(element).fontFamily}`;
    const line = colour(element, "line");
    const grid = { stroke: line, width: 1 };
    const axis = { stroke: colour(element, "quiet"), font, grid, ticks: { ...grid, size: 4 } };
    return {
      width: element.clientWidth,
      height: HEIGHT,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: false, y: false },
        // The period under the pointer, not the one whose start is nearest.
        dataIdx: (plot, _, nearest, x) => Math.min(latest, x < plot.data[0][nearest] ? nearest - 1 : nearest),
      },
      legend: { markers: { show: false } },
      scales: { x: { range: [starts[0], end] }, y: { range: (_, least, most) => [0, 1.08 * Math.max(most, top)] } },
      axes: [
        { ...axis, size: 28, space: 64, values: (_, ticks) => ticks.map((at) => (at % DAY ? time(at) : tickDate(at))) },
        { ...axis, size: 48, incrs: WHOLE, values: (_, ticks) => ticks.map((at) => shortNumber.format(at)) },
      ],
      // While nobody points at a period, the legend shows the latest.
      series: [
        { label: unit[0].toUpperCase() + unit.slice(1), value: (...[, , , at]) => nameOfPeriod(starts[at ?? latest]) },
        ...lines.map(({ label, values, token, fill, ...rest }) => ({
          label,
          stroke: colour(element, token),
          fill: fill && colour(element, fill),
          width: 2,
          points: { show: false },
          value: (...[, , , at]) => number.format(values[at ?? latest]),
          ...rest,
        })),
      ],
    };
  };

  const steps = uPlot.paths.stepped({ align: 1 });
  const bars = uPlot.paths.bars({ align: 1, size: [0.8, Infinity] });
  const CHARTS = {
    "held-chart": {
      top: capacity,
      lines: [
        { label: "Held", values: held, token: "good", fill: "good-ground", paths: steps },
        { label: "Capacity", values: starts.map(() => capacity), token: "bad", dash: [6, 4] },
      ],
    },
    "tickets-chart": {
      lines: [{ label: "Asked for", values: tickets, token: "brand", fill: "brand-shape", paths: bars, width: 0 }],
    },
    "waiting-chart": {
      lines: [{ label: "Waiting", values: waiting, token: "warn", fill: "warn-ground", paths: steps }],
    },
  };

  const draw = (element, chart) => {
    // The last value reaches to the end of its period; a bar stands for one period.
    const columns = chart.lines.map(({ values, paths }) => [...values, paths === bars ? null : values[latest]]);
    return new uPlot(options(element, chart), [[...starts, end], ...columns], element);
  };

  const drawn = Object.entries(CHARTS).map(([id, chart]) => ({ element: document.getElementById(id), chart }));
  const drawAll = () => {
    for (const each of drawn) {
      each.plot?.destroy();
      each.plot = draw(each.element, each.chart);
    }
  };
  drawAll();

  const resized = new ResizeObserver(() => {
    for (const { element, plot } of drawn) plot.setSize({ width: element.clientWidth, height: HEIGHT });
  });
  drawn.forEach(({ element }) => resized.observe(element));
  // Another theme, and paper, have other colours.
  new MutationObserver(drawAll).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", drawAll);
}
