"use strict";

// Draws an event's sales with uPlot. Without this script, the table has the numbers.
{
  const HEIGHT = 170;
  // Steps of 1, 2 and 5 times a power of ten: nobody holds half a ticket.
  const WHOLE = Array.from({ length: 30 }, (_, n) => [1, 2, 5][n % 3] * 10 ** Math.floor(n / 3));

  const HOUR = 3600;

  const { unit, capacity, periods, now, zone, ...sales } = JSON.parse(document.getElementById("sales-data").textContent);
  const starts = periods.map(([start]) => Date.parse(start) / 1000);
  const end = Date.parse(sales.end) / 1000;
  const latest = periods.length - 1;
  // The last period may be under way: then its counts are those of now.
  const until = Math.min(end, Date.parse(now) / 1000);
  const [tickets, held, waiting] = [2, 3, 4].map((column) => periods.map((period) => period[column]));

  const number = new Intl.NumberFormat("en");
  const shortNumber = new Intl.NumberFormat("en", { notation: "compact" });
  // All times are the event's.
  const inZone = (options) => {
    const format = new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options });
    return (seconds) => format.format(seconds * 1000);
  };
  const time = inZone({ hour: "2-digit", minute: "2-digit" });
  const day = inZone({ day: "numeric", month: "short" });
  const date = inZone({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
  const tickDate = unit === "week" ? inZone({ day: "numeric", month: "short", year: "2-digit" }) : day;
  const nameOfPeriod = (period) => {
    const start = starts[period];
    const soFar = period === latest && until < end ? ", so far" : "";
    if (unit === "hour") return `${day(start)}, ${time(start)} to ${time(start + HOUR)}${soFar}`;
    return `${unit === "week" ? "from " : ""}${date(start)}${soFar}`;
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
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
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
        { ...axis, size: 28, space: 64, values: (_, ticks) => ticks.map((at) => (time(at) === "00:00" ? tickDate(at) : time(at))) },
        { ...axis, size: 48, incrs: WHOLE, values: (_, ticks) => ticks.map((at) => shortNumber.format(at)) },
      ],
      // While nobody points at a period, the legend shows the latest.
      series: [
        { label: unit[0].toUpperCase() + unit.slice(1), value: (...[, , , at]) => nameOfPeriod(at ?? latest) },
        ...lines.map(({ label, values, first, token, fill, ...rest }) => ({
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

  // A bar fills its period, but for a gap of pixels at both ends.
  const bars = uPlot.paths.bars({ align: 1, size: [1, Infinity], gap: 2 });
  const CHARTS = {
    "held-chart": {
      top: capacity,
      lines: [
        { label: "Held", values: held, token: "good", fill: "good-ground" },
        { label: "Capacity", values: starts.map(() => capacity), first: capacity, token: "bad", dash: [6, 4] },
      ],
    },
    "tickets-chart": {
      lines: [{ label: "Asked for", values: tickets, token: "brand", fill: "brand-shape", paths: bars, width: 0 }],
    },
    "waiting-chart": {
      lines: [{ label: "Waiting", values: waiting, token: "warn", fill: "warn-ground" }],
    },
  };

  const draw = (element, chart) => {
    // A bar begins with its period. A line has the count at the end of each period, and before the first one nothing.
    const columns = chart.lines.map(({ values, first = 0, paths }) => (paths ? [...values, null] : [first, ...values]));
    const last = chart.lines[0].paths ? end : until;
    return new uPlot(options(element, chart), [[...starts, last], ...columns], element);
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
