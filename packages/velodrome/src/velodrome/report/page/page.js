"use strict";
(() => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const data = JSON.parse($("#data").textContent);
  const root = document.documentElement;

  // What is large stands in the page compressed, and is unpacked when it is wanted.
  async function unpacked(id) {
    const bytes = Uint8Array.from(atob($("#" + id).textContent), (each) => each.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  // Light and dark: the reader's system decides until the reader does.

  const system = matchMedia("(prefers-color-scheme: dark)");
  const remembered = {
    get: (key) => { try { return sessionStorage.getItem(key); } catch { return null; } },
    set: (key, value) => { try { sessionStorage.setItem(key, value); } catch { /* not allowed */ } },
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const themeButton = $("#theme");

  function themed() {
    themeButton.textContent = isDark() ? "Light" : "Dark";
    themeButton.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
    figures.forEach((figure) => figure.draw());
  }

  // Figures: described in the data, drawn when they come near the reader's sight.

  const MARKERS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "star-triangle-up", "x", "cross"];
  let plotly = null;

  function loaded() {
    plotly ??= unpacked("plotly").then((source) => {
      const script = document.createElement("script");
      script.textContent = source;
      document.head.append(script);
      return window.Plotly;
    });
    return plotly;
  }

  const colour = (hue) => data.hues[hue][isDark() ? "dark" : "light"];

  function trace(chart, series) {
    const x = series.points.map((point) => point.x);
    const y = series.points.map((point) => point.y);
    const common = {
      name: series.name,
      text: series.points.map((point) => point.text ?? ""),
      hovertemplate: "%{text}<extra></extra>",
    };
    const hue = colour(series.hue);
    if (chart.mark === "bars") {
      return { ...common, type: "bar", orientation: "h", x: y, y: x, textposition: "none", marker: { color: hue } };
    }
    if (series.guide) {
      return { ...common, type: "scatter", mode: "lines", x, y, showlegend: false,
        hoverinfo: common.text.some(Boolean) ? undefined : "skip",
        hovertemplate: common.text.some(Boolean) ? common.hovertemplate : undefined,
        line: { color: hue, width: 1, dash: "dot" } };
    }
    const spread = series.points.some((point) => point.low !== undefined);
    return {
      ...common, type: "scatter", x, y,
      mode: chart.mark === "points" ? "markers" : "lines+markers",
      line: { color: hue, width: 2, dash: series.dashed ? "dash" : "solid" },
      marker: { color: hue, size: 8, symbol: MARKERS[series.hue] + (series.dashed ? "-open" : ""), line: { width: series.dashed ? 2 : 0, color: hue } },
      error_y: spread ? {
        type: "data", symmetric: false, color: hue, thickness: 1, width: 4,
        array: series.points.map((point) => (point.high ?? point.y) - point.y),
        arrayminus: series.points.map((point) => point.y - (point.low ?? point.y)),
      } : undefined,
    };
  }

  function axis(described, which, chart, log) {
    const made = { title: { text: described.title, standoff: 8 }, automargin: true };
    const values = [...new Set(chart.series.flatMap((series) => series.points.map((point) => point[which])))];
    if (described.scale === "log2") {
      values.sort((a, b) => a - b);
      return { ...made, type: "log", tickvals: values, ticktext: values.map(String) };
    }
    if (described.scale === "category") {
      return { ...made, type: "category", categoryorder: "array", categoryarray: values };
    }
    if (log) return { ...made, type: "log", dtick: "D2" };
    return { ...made, rangemode: described.from_zero ? "tozero" : "normal" };
  }

  function layout(chart, log) {
    const style = getComputedStyle(root);
    const shade = (name) => style.getPropertyValue(name).trim();
    const grid = { gridcolor: shade("--line"), zerolinecolor: shade("--line"), linecolor: shade("--line") };
    const bars = chart.mark === "bars";
    let x = axis(chart.x, "x", chart, log.x);
    let y = axis(chart.y, "y", chart, log.y);
    if (bars) {
      [x, y] = [y, { ...x, autorange: "reversed", title: undefined }];
      x.type = log.y ? "log" : undefined;
    }
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: shade("--ink"), size: 12, family: getComputedStyle(document.body).fontFamily },
      margin: { l: 8, r: 8, t: 30, b: 8 },
      xaxis: { ...x, ...grid }, yaxis: { ...y, ...grid },
      barmode: "stack", hovermode: "closest",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: shade("--quiet"), activecolor: shade("--accent") },
      hoverlabel: { bgcolor: shade("--raised"), bordercolor: shade("--line"), font: { color: shade("--ink") } },
      legend: { orientation: "h", y: -0.22, yanchor: "top", x: 0 },
      showlegend: true,
      // A finger on a figure scrolls the page.
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    };
  }

  const filters = { words: {}, engines: null };
  const shows = (words) => Object.entries(filters.words).every(([field, value]) => (words[field] ?? "") === value);
  const showsEngine = (engine) => !engine || !filters.engines || filters.engines.has(engine);

  class Figure {
    constructor(element) {
      this.element = element;
      this.plot = $(".plot", element);
      this.select = $("select", element);
      this.scale = $(".scale", element);
      this.charts = data.charts.filter((chart) => chart.kind === element.dataset.kind);
      this.near = false;
      this.log = null;
      this.controls = $(".controls", element);
      this.controls.hidden = false;
      this.choose();
      this.select.addEventListener("change", () => { this.log = null; this.draw(); });
      this.scale.addEventListener("click", () => { this.log = !this.isLog(); this.draw(); });
      $(".values", element).addEventListener("toggle", () => this.list());
      new IntersectionObserver((entries, observer) => {
        if (entries.some((entry) => entry.isIntersecting)) {
          observer.disconnect();
          this.near = true;
          this.draw();
        }
      }, { rootMargin: "400px" }).observe(element);
    }

    // Which of its charts the filters leave, as far as a chart is bound to their fields.
    choose() {
      const kept = this.charts.filter((chart) =>
        Object.entries(filters.words).every(([field, value]) => !(field in chart.shared) || chart.shared[field] === value)
        && chart.series.some((series) => !series.guide && showsEngine(series.engine)));
      const before = this.select.selectedOptions[0]?.textContent;
      this.kept = kept;
      this.select.replaceChildren(...kept.map((chart, number) => new Option(chart.label || chart.title, number)));
      const same = kept.findIndex((chart) => (chart.label || chart.title) === before);
      this.select.value = String(Math.max(same, 0));
      $(".facet", this.element).hidden = this.charts.length < 2;
      this.element.hidden = !kept.length;
    }

    get chart() { return this.kept[Number(this.select.value)]; }

    isLog() { return this.log ?? (this.chart.mark === "points" ? this.chart.x.scale === "log" : (this.chart.y.scale === "log")); }

    shown() {
      return this.chart.series
        .filter((series) => showsEngine(series.engine))
        .map((series) => this.chart.mark === "bars"
          ? { ...series, points: series.points.filter((point) => showsEngine(point.x.split(" (")[0])) } : series);
    }

    async draw() {
      if (!this.near || !this.chart) return;
      const Plotly = await loaded();
      const chart = this.chart;
      if (!chart) return;
      const log = this.isLog();
      const scatter = chart.mark === "points";
      const scales = { x: scatter ? log : chart.x.scale === "log", y: scatter ? false : log };
      this.scale.hidden = chart.mark === "bars" || chart.kind === "drift" || chart.kind === "accuracy-over-time" || chart.kind === "keras-over-native";
      this.scale.setAttribute("aria-pressed", String(log));
      const shown = { ...chart, series: this.shown() };
      this.plot.setAttribute("aria-label", `${$("h3", this.element).textContent}: ${chart.title}. The values are in the table below.`);
      $(".about", this.element).textContent = chart.label ? `${chart.label}.` : "";
      await Plotly.react(this.plot, shown.series.map((series) => trace(chart, series)),
        layout(shown, scales), {
          responsive: true, displaylogo: false,
          modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
          toImageButtonOptions: { format: "svg", filename: chart.kind },
        });
      this.list();
    }

    // The same values as a table, for those who cannot see or point at them.
    list() {
      const details = $(".values", this.element);
      if (!details.open || !this.chart) return;
      const chart = this.chart;
      const table = document.createElement("table");
      const head = table.createTHead().insertRow();
      for (const name of ["", chart.x.title, chart.y.title, "in words"]) {
        const cell = document.createElement("th");
        cell.scope = "col";
        cell.textContent = name;
        head.append(cell);
      }
      const body = table.createTBody();
      for (const series of this.shown()) {
        for (const point of series.points) {
          const row = body.insertRow();
          const name = document.createElement("th");
          name.scope = "row";
          name.textContent = series.name;
          row.append(name);
          for (const value of [point.x, point.y, point.text ?? ""]) {
            row.insertCell().textContent = typeof value === "number" ? Number(value.toPrecision(5)).toLocaleString("en") : value;
          }
        }
      }
      $(".scroll", details).replaceChildren(table);
    }
  }

  const figures = $$("figure[data-kind]").map((element) => new Figure(element));

  // Filters hold for ranking, figures and the table of all results, and stand in the address.

  const form = $("#filters");
  const search = $("#search");
  const count = $("#count");
  const every = $("#every");

  function filter() {
    const chosen = new FormData(form);
    const boxes = $$("[name=engine]", form);
    const engines = chosen.getAll("engine");
    filters.engines = engines.length === boxes.length ? null : new Set(engines);
    filters.words = Object.fromEntries([...chosen].filter(([field, value]) => field !== "engine" && value));
    const wanted = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    for (const element of $$("[data-words], [data-engine]")) {
      const words = element.dataset.words ? JSON.parse(element.dataset.words) : {};
      let visible = showsEngine(element.dataset.engine) && (!element.dataset.words || shows(words));
      if (visible && wanted.length && element.closest("#every")) {
        const text = element.textContent.toLowerCase();
        visible = wanted.every((word) => text.includes(word));
      }
      element.hidden = !visible;
    }
    const rows = $$("tbody tr", every);
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = `${shown} of ${rows.length} shown`;
    figures.forEach((figure) => { figure.choose(); figure.draw(); });
    const address = new URLSearchParams(filters.words);
    if (filters.engines) address.set("engine", engines.join(","));
    if (search.value) address.set("search", search.value);
    remembered.set("filters", String(address));
  }

  function restore() {
    const before = new URLSearchParams(remembered.get("filters") ?? "");
    for (const [field, value] of before) {
      if (field === "engine") {
        const engines = new Set(value.split(","));
        $$("[name=engine]", form).forEach((box) => { box.checked = engines.has(box.value); });
      } else if (field === "search") {
        search.value = value;
      } else if (form.elements[field]) {
        form.elements[field].value = value;
      }
    }
  }

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", filter);
  form.addEventListener("reset", () => { search.value = ""; setTimeout(filter); });
  search.hidden = false;
  search.addEventListener("input", filter);

  // A click on a column's name sorts by it; what is empty comes last either way.

  function sort(column, heading) {
    const descending = heading.ariaSort === "ascending" ? true : heading.ariaSort === "descending" ? false : heading.classList.contains("number");
    $$("thead th", every).forEach((each) => each.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const body = every.tBodies[0];
    const value = (row) => row.cells[column].dataset.value;
    const compared = (a, b) => (a !== "" && b !== "" && !isNaN(a) && !isNaN(b) ? a - b : a.localeCompare(b));
    const rows = [...body.rows].sort((a, b) => {
      const [left, right] = [value(a), value(b)];
      if (left === "" || right === "") return (left === "") - (right === "");
      return descending ? compared(right, left) : compared(left, right);
    });
    body.append(...rows);
  }

  $$("thead th", every).forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    button.addEventListener("click", () => sort(column, heading));
    heading.replaceChildren(button);
  });

  // Copying and downloading.

  for (const button of $$(".copy")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText($("code", button.parentElement).textContent);
      button.textContent = "Copied";
    });
  }

  for (const button of $$(".download")) {
    button.hidden = false;
    button.setAttribute("aria-label", `Download ${button.dataset.name}`);
    button.addEventListener("click", async () => {
      const blob = new Blob([await unpacked(button.dataset.from)], { type: button.dataset.type });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = button.dataset.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }

  // A page that is served asks now and then whether there are newer results.

  const version = document.body.dataset.version;
  if (version) {
    setInterval(async () => {
      try {
        const answer = await fetch("version", { cache: "no-store" });
        if (answer.ok && (await answer.text()) !== version) location.reload();
      } catch { /* the server is gone; the page stays readable */ }
    }, 2000);
  }

  function opened() {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) target.open = true;
  }

  root.dataset.theme = remembered.get("theme") ?? "";
  if (!root.dataset.theme) delete root.dataset.theme;
  themeButton.hidden = false;
  themeButton.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered.set("theme", root.dataset.theme);
    themed();
  });
  system.addEventListener("change", themed);
  addEventListener("hashchange", opened);
  restore();
  filter();
  themed();
  opened();
})();
