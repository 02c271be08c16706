/* Own script of the report: theme, charts, one sortable table a page, its state in the address. No network, no storage but the theme. */
(function () {
  "use strict";
  var root = document.documentElement;
  var media = window.matchMedia("(prefers-color-scheme: dark)");
  var printing = false;
  var NARROW = 480;
  var NOT_ON_PHONES = ["tied", "skill", "tuning", "note"];
  var written = location.hash;

  function stored(value) {
    try {
      if (value === undefined) { return localStorage.getItem("bench-theme"); }
      localStorage.setItem("bench-theme", value);
    } catch (error) { /* a browser that keeps nothing still shows the page */ }
    return null;
  }
  function isDark() { return root.classList.contains("dark"); }
  function setTheme(dark) {
    root.classList.toggle("dark", dark);
    root.classList.toggle("light", !dark);
    var button = document.getElementById("theme");
    if (button) { button.textContent = dark ? "Light theme" : "Dark theme"; }
  }
  function wanted() {
    var own = stored();
    return own ? own === "dark" : media.matches;
  }
  root.classList.add("script");
  setTheme(wanted());

  /* ---- charts ---- */
  function themed(value, map) {
    if (typeof value === "string") { return Object.prototype.hasOwnProperty.call(map, value) ? map[value] : value; }
    if (Array.isArray(value)) { return value.length && typeof value[0] === "number" ? value : value.map(function (v) { return themed(v, map); }); }
    if (value && typeof value === "object") {
      var copy = {};
      Object.keys(value).forEach(function (key) {
        copy[key] = /^(x|y|text|name|ticktext)$/.test(key) && Array.isArray(value[key]) ? value[key] : themed(value[key], map);
      });
      return copy;
    }
    return value;
  }
  function draw(node) {
    var spec = window.BENCH.charts[node.dataset.chart];
    var map = isDark() && !printing ? window.BENCH.dark : {};
    var layout = themed(spec.layout, map);
    layout.hoverlabel = Object.assign({}, layout.hoverlabel, { bgcolor: isDark() && !printing ? "#222222" : "#ffffff" });
    if (node.clientWidth < NARROW) { brokenTitles(layout, Math.floor(node.clientWidth / 11)); }
    node.dataset.drawn = "yes";
    return window.Plotly.react(node, themed(spec.data, map), layout, { displayModeBar: false, responsive: true });
  }
  /* Plotly cuts the title of an axis that is longer than the chart is wide. */
  function brokenTitles(layout, width) {
    Object.keys(layout).forEach(function (key) {
      var title = /^xaxis/.test(key) && layout[key].title;
      if (!title || !title.text || title.text.length <= width) { return; }
      var lines = [""];
      title.text.split(" ").forEach(function (word) {
        var last = lines[lines.length - 1];
        if (last && (last + " " + word).length > width) { lines.push(word); } else { lines[lines.length - 1] = (last + " " + word).trim(); }
      });
      title.text = lines.join("<br>");
    });
  }
  function redraw() { document.querySelectorAll(".plot[data-drawn]").forEach(draw); }
  function charts() {
    var nodes = document.querySelectorAll(".plot");
    if (!nodes.length || !window.Plotly) { return; }
    var watch = new IntersectionObserver(function (seen) {
      seen.forEach(function (one) {
        if (one.isIntersecting) { watch.unobserve(one.target); draw(one.target); }
      });
    }, { rootMargin: "200px" });
    nodes.forEach(function (node) { watch.observe(node); });
    document.querySelectorAll("button.png").forEach(function (button) {
      button.hidden = false;
      button.addEventListener("click", function () {
        var node = document.querySelector('.plot[data-chart="' + button.dataset.for + '"]');
        Promise.resolve(draw(node)).then(function () {
          window.Plotly.downloadImage(node, { format: "png", filename: button.dataset.for, scale: 2, width: 900, height: node.offsetHeight });
        });
      });
    });
  }

  /* ---- the address ---- */
  function readState() {
    var state = {};
    location.hash.slice(1).split("&").forEach(function (part) {
      var at = part.indexOf("=");
      if (at < 1) { return; }
      try { state[part.slice(0, at)] = decodeURIComponent(part.slice(at + 1)); } catch (error) { /* damaged: as if it were not there */ }
    });
    return state;
  }
  function writeState(state) {
    var text = Object.keys(state).filter(function (key) { return state[key] !== ""; }).map(function (key) {
      return key + "=" + encodeURIComponent(state[key]).replace(/%3A/g, ":").replace(/%2C/g, ",");
    }).join("&");
    history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
    written = location.hash;
  }

  window.benchPage = { readState: readState, writeState: writeState, draw: draw };

  /* ---- the table ---- */
  function columnsOf(table) {
    return Array.prototype.map.call(table.querySelectorAll("thead th"), function (th) {
      return { key: th.dataset.key, title: th.textContent, hidden: "hidden" in th.dataset, choices: "choices" in th.dataset, right: th.classList.contains("right"), digits: th.dataset.digits, missing: Number(th.dataset.missing) };
    });
  }
  function unpacked(column) { return Array.isArray(column) ? column : column.codes.map(function (code) { return column.words[code]; }); }
  function rowsOf(columns) {
    var data = columns.map(function (column) { return unpacked(window.BENCH.rows[column.key]); });
    return data[0].map(function (_, at) { return data.map(function (column) { return column[at] === null || column[at] === "" ? "none" : column[at]; }); });
  }
  function numbers(column, text) {
    return {
      display: function (data) { return typeof data === "number" ? data.toFixed(column.digits) : text.display(data); },
      filter: text.filter,
      sort: function (data) { return typeof data === "number" ? data : column.missing; },
    };
  }
  function options(table, columns, state) {
    var text = window.DataTable.render.text();
    var sorted = /^(\d+):(asc|desc)$/.exec(state.s || "");
    var first = table.dataset.first.split(":");
    var order = sorted && Number(sorted[1]) < columns.length ? [Number(sorted[1]), sorted[2]] : [Number(first[0]), first[1]];
    var shown = state.c === undefined ? null : state.c.split(",");
    var found = {
      order: [order], orderMulti: false, autoWidth: false, pageLength: 50, search: { search: state.q || "" },
      paging: Boolean(window.BENCH && window.BENCH.rows), layout: { topStart: null, topEnd: null, bottomStart: null },
      language: { zeroRecords: "0 rows match; use Clear filters above", entries: { _: "rows", 1: "row" } },
      columns: columns.map(function (column) {
        return { orderSequence: ["asc", "desc"], render: column.digits === undefined ? text : numbers(column, text), visible: shown ? shown.indexOf(column.key) >= 0 : !column.hidden && !(innerWidth < NARROW && NOT_ON_PHONES.indexOf(column.key) >= 0), className: column.right ? "right" : "" };
      }),
    };
    if (found.paging) {
      found.data = rowsOf(columns);
      found.deferRender = true;
      var files = unpacked(window.BENCH.rows.file);
      found.createdRow = function (row, data, at) {
        var link = document.createElement("a");
        link.href = files[at];
        link.textContent = data[0];
        row.cells[0].replaceChildren(link);
        row.cells[0].setAttribute("scope", "row");
      };
      found.layout.bottomStart = "info";
      found.columns[0].cellType = "th";
    }
    return found;
  }
  function boardTable() {
    var table = document.getElementById("board");
    if (!table || !window.DataTable) { return; }
    var columns = columnsOf(table);
    var state = readState();
    var first = JSON.parse(JSON.stringify(state));
    var api = new window.DataTable(table, options(table, columns, state));
    var said = document.getElementById("said");
    var search = document.getElementById("filter");
    search.value = state.q || "";
    var starting = true;
    var last = api.order()[0].slice(0, 2).join(":");
    function say(words) { if (!starting) { said.textContent = words; } }
    function count() { return api.rows({ search: "applied" }).count() + " of " + api.rows().count() + " rows match"; }
    function keep(key, value) { state[key] = value; if (!starting) { writeState(state); } }

    api.on("order", function () {
      var now = api.order()[0];
      var words = now ? now[0] + ":" + now[1] : "";
      if (!now || starting || words === last) { return; }
      last = words;
      keep("s", words);
      say("Sorted by " + columns[now[0]].title + ", " + (now[1] === "asc" ? "ascending" : "descending"));
    });
    search.addEventListener("input", function () { api.search(search.value).draw(); keep("q", search.value); say(count()); });
    var selects = selectsOf(api, columns, first, function (key, value) { keep("f." + key, value); say(count()); });
    picker(api, columns, function (text) { keep("c", text); });
    document.getElementById("clear").addEventListener("click", function () {
      search.value = "";
      api.search("");
      keep("q", "");
      selects.forEach(function (clear) { clear(); });
      api.draw();
      say(count());
    });
    starting = false;
    table.addEventListener("keydown", spaceSorts);
    onRest(api, table, selects, say, state);
    window.addEventListener("hashchange", function () { if (location.hash !== written && /=|^$/.test(location.hash)) { location.reload(); } });
    window.addEventListener("beforeprint", function () { if (api.page.len) { table.dataset.length = api.page.len(); api.page.len(Math.min(500, Math.max(api.rows().count(), 50))).draw(); } });
    window.addEventListener("afterprint", function () { if (table.dataset.length) { api.page.len(Number(table.dataset.length)).draw(); } });
  }
  function selectsOf(api, columns, state, told) {
    return columns.map(function (column, at) {
      var select = document.querySelector('select[data-filter="' + column.key + '"]');
      if (!select) { return function () {}; }
      var seen = {};
      function fill() {
        var known = Object.keys(seen);
        api.rows().every(function () { seen[valueAt(this.data(), at)] = true; });
        Object.keys(seen).filter(function (word) { return known.indexOf(word) < 0; }).sort().forEach(function (word) { select.add(new Option(word, word)); });
      }
      fill();
      api.search.fixed("choice-" + column.key, function (_, data) {
        return !select.value || valueAt(data, at) === select.value;
      });
      function restore() {
        var wish = state["f." + column.key];
        if (wish && Object.prototype.hasOwnProperty.call(seen, wish)) { select.value = wish; api.draw(); }
      }
      restore();
      select.addEventListener("change", function () { api.draw(); told(column.key, select.value); });
      function clear() { if (select.value) { select.value = ""; told(column.key, ""); } }
      clear.fill = function () { fill(); restore(); };
      return clear;
    });
  }
  /* The rows that a long table does not begin with: they come when the reader asks, sorts, filters or prints. */
  function onRest(api, table, selects, say, state) {
    var rest = window.BENCH && window.BENCH.rest;
    var box = document.querySelector(".more");
    if (!rest || !box) { return; }
    var name = Number(table.dataset.name);
    function load() {
      if (!rest) { return; }
      api.rows.add(rest.map(function (cells) { return rowOf(cells, name, api); })).draw();
      rest = null;
      box.remove();
      selects.forEach(function (one) { if (one.fill) { one.fill(); } });
      say(api.rows().count() + " rows");
    }
    document.getElementById("all").addEventListener("click", load);
    document.querySelector(".controls").addEventListener("focusin", load);
    ["pointerdown", "focusin"].forEach(function (kind) { table.tHead.addEventListener(kind, load); });
    window.addEventListener("beforeprint", load);
    if (Object.keys(state).some(function (key) { return key !== "c" && state[key]; })) { load(); }
  }
  function rowOf(cells, name, api) {
    var row = document.createElement("tr");
    cells.forEach(function (parts, at) {
      var cell = document.createElement(at === name ? "th" : "td");
      var words = document.createElement("bdi");
      var inner = words;
      words.textContent = parts[0];
      if (parts[3]) { inner = document.createElement("a"); inner.href = parts[3]; inner.appendChild(words); }
      if (at === name) { cell.setAttribute("scope", "row"); }
      cell.dataset.order = String(parts.length > 1 ? parts[1] : parts[0]);
      cell.dataset.search = parts[0];
      cell.className = [parts[2] || "", api.column(at).header().classList.contains("right") ? "right" : ""].join(" ").trim();
      cell.appendChild(inner);
      row.appendChild(cell);
    });
    return row;
  }
  function valueAt(row, at) {
    var data = row[at];
    if (data !== null && typeof data === "object") { return data["@data-search"] === undefined ? plainText(data.display) : data["@data-search"]; }
    return String(data);
  }
  function plainText(html) { return new DOMParser().parseFromString(html, "text/html").body.textContent; }
  function picker(api, columns, told) {
    document.querySelectorAll(".picker input").forEach(function (box) {
      var at = columns.findIndex(function (column) { return column.key === box.value; });
      box.checked = api.column(at).visible();
      box.addEventListener("change", function () {
        api.column(at).visible(box.checked);
        told(columns.filter(function (_, i) { return api.column(i).visible(); }).map(function (column) { return column.key; }).join(","));
      });
    });
  }
  function spaceSorts(event) {
    var head = event.target.closest ? event.target.closest('thead [role="button"], thead th[tabindex]') : null;
    if (head && (event.key === " " || event.key === "Spacebar")) { event.preventDefault(); head.click(); head.focus(); }
  }

  /* ---- start ---- */
  function copyButtons() {
    document.querySelectorAll("button.copy").forEach(function (button) {
      button.addEventListener("click", function () {
        var code = button.parentNode.querySelector("code");
        var range = document.createRange();
        range.selectNodeContents(code);
        var selection = window.getSelection();
        selection.removeAllRanges();
        selection.addRange(range);
        button.textContent = document.execCommand("copy") ? "Copied" : "Selected: press Ctrl-C";
      });
    });
  }
  document.addEventListener("DOMContentLoaded", function () {
    setTheme(wanted());
    document.getElementById("theme").addEventListener("click", function () {
      stored(isDark() ? "light" : "dark");
      setTheme(!isDark());
      redraw();
    });
    media.addEventListener("change", function () { setTheme(wanted()); redraw(); });
    window.addEventListener("beforeprint", function () { printing = true; document.querySelectorAll(".plot").forEach(function (node) { if (window.Plotly) { draw(node); } }); });
    window.addEventListener("afterprint", function () { printing = false; redraw(); });
    copyButtons();
    boardTable();
    charts();
  });
})();
