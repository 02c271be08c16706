/* Parts of a page where the reader chooses: two models to compare, cost and value of a contact. Needs bench.js. */
(function () {
  "use strict";
  var page = window.benchPage;
  function figureOf(key) { return document.querySelector('.plot[data-chart="' + key + '"]').closest("figure"); }
  function say(key, words) { figureOf(key).querySelector(".finding").textContent = words; }
  function rows(key, lines) {
    var body = figureOf(key).querySelector("details tbody");
    body.replaceChildren.apply(body, lines.map(function (line) {
      var tr = document.createElement("tr");
      line.forEach(function (text, at) {
        var cell = document.createElement(at ? "td" : "th");
        if (!at) { cell.setAttribute("scope", "row"); }
        cell.textContent = text;
        tr.appendChild(cell);
      });
      return tr;
    }));
  }
  function drawn(key) { var node = document.querySelector('.plot[data-chart="' + key + '"]'); if (node.dataset.drawn) { page.draw(node); } }
  function marked(text) { return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); }
  function whole(x) { return Math.round(x).toLocaleString("en"); }
  function plain(x, digits) { return x.toFixed(digits).replace(/^(-?)0\./, "$1."); }
  function signed(x) { return (x > 0 && Number(x.toFixed(3)) ? "+" : "") + plain(x, 3).replace(/^-(\.0+)$/, "$1"); }
  function percent(x) { return (100 * x).toFixed(x >= 0.1 && x <= 0.9 ? 0 : 1) + "%"; }

  var kinds = {
    profit: function (key, asked) {
      var data = window.BENCH.more[key], spec = window.BENCH.charts[key], cost = Number(asked.cost), value = Number(asked.value), kept = Number(asked.kept);
      function earned(share, caught) { return value * kept * data.users * data.base * caught - cost * data.users * share; }
      var everybody = earned(1, 1);
      var best = data.models.map(function (one, at) {
        var name = one[0], points = one[1].map(function (point) { return [point[0], earned(point[0], point[1])]; });
        spec.data[at].y = points.map(function (point) { return point[1]; });
        return [name, points.reduce(function (most, point) { return point[1] > most[1] ? point : most; })];
      });
      rows(key, best.map(function (one) { return [one[0], whole(one[1][1]), percent(one[1][0]), whole(one[1][0] * data.users), whole(everybody)]; }));
      var first = best.reduce(function (most, one) { return one[1][1] > most[1][1] ? one : most; });
      say(key, "With these numbers " + first[0] + " earns most, " + whole(first[1][1]) + ", by contacting " + percent(first[1][0]) + " of the users; contacting everybody earns " + whole(everybody) + ".");
    },
    compared: function (key, asked) {
      var data = window.BENCH.more[key], spec = window.BENCH.charts[key];
      [asked.a, asked.b].forEach(function (model, at) {
        var pick = data.models[model], x = [], y = [], bandX = [], bandY = [];
        data.cutoffs.forEach(function (cutoff, window_) {
          var own = data.time.slice(cutoff, cutoff + pick.median[window_].length);
          var low = pick.low[window_].slice(0, own.length), high = pick.high[window_].slice(0, own.length);
          x = x.concat(own, [null]);
          y = y.concat(pick.median[window_].slice(0, own.length), [null]);
          bandX = bandX.concat(own, own.slice().reverse(), [null]);
          bandY = bandY.concat(low, high.reverse(), [null]);
        });
        var band = spec.data[2 + 2 * at], line = spec.data[3 + 2 * at];
        band.x = bandX.slice(0, -1); band.y = bandY.slice(0, -1); band.name = marked(model) + ", band";
        line.x = x.slice(0, -1); line.y = y.slice(0, -1); line.name = marked(model);
      });
      function score(model) { var s = data.models[model].score; return model + " " + (s === null ? "no score" : plain(s, 3)); }
      say(key, data.metric + " on this series: " + score(asked.a) + " and " + score(asked.b) + " (lower is better).");
    },
    versus: function (key, asked) {
      var data = window.BENCH.more[key], spec = window.BENCH.charts[key], one = asked.a, other = asked.b;
      function difference(at) {
        var a = data.models[one][at], b = data.models[other][at];
        if (!a || !b) { return null; }
        var ways = [[b.behind, data.leaders[at] === one, 1], [a.behind, data.leaders[at] === other, -1], [a.skill, data.references[at] === other, 1], [b.skill, data.references[at] === one, -1]];
        var way = ways.find(function (w) { return w[1] && w[0][0] !== null && w[0][2] !== null; });
        var gap = a.merit - b.merit;
        if (!way) { return [null, gap, null]; }
        return way[2] > 0 ? [way[0][0], gap, way[0][2]] : [-way[0][2], gap, -way[0][0]];
      }
      var found = data.datasets.map(function (name, at) { return [name, difference(at), at]; });
      var both = found.filter(function (one_) { return one_[1]; });
      var trace = spec.data[0], axis = spec.layout.yaxis;
      trace.x = both.map(function (d) { return d[1][1]; });
      trace.y = both.map(function (_, at) { return at; });
      trace.error_x.array = both.map(function (d) { return d[1][2] === null ? 0 : Math.abs(d[1][2] - d[1][1]); });
      trace.error_x.arrayminus = both.map(function (d) { return d[1][0] === null ? 0 : Math.abs(d[1][1] - d[1][0]); });
      trace.marker.color = both.map(function (d) { return d[1][0] === null ? "#767676" : "#0072b2"; });
      axis.tickvals = trace.y;
      axis.ticktext = both.map(function (d) { return marked(d[0]); });
      axis.range = [both.length - 0.5, -0.5];
      var won = both.filter(function (d) { return d[1][1] > 0; }).length;
      say(key, one + " is better than " + other + " on " + won + " of " + both.length + " data sets.");
      function score(model, at) { var facts = data.models[model][at]; return facts ? plain(facts.score, 3) : "no score"; }
      rows(key, found.map(function (d) {
        var ends = d[1];
        return [d[0], score(one, d[2]), score(other, d[2]), ends ? signed(ends[1]) : "not both scored", ends && ends[0] !== null ? signed(ends[0]) + " to " + signed(ends[2]) : "not known"];
      }));
    },
  };
  function fields(form) { return Array.prototype.slice.call(form.querySelectorAll("select, input")); }
  function fits(field, value) {
    if (field.tagName === "SELECT") { return Array.prototype.some.call(field.options, function (option) { return option.value === value; }); }
    return value !== "" && isFinite(Number(value)) && Number(value) >= 0;
  }
  function update(form) {
    var asked = {}, right = true;
    fields(form).forEach(function (field) { asked[field.name] = field.value; right = right && fits(field, field.value); });
    if (right) { kinds[form.dataset.choose](form.dataset.chart, asked); drawn(form.dataset.chart); }
    return right;
  }
  function restore(form, first) {
    var state = page.readState();
    fields(form).forEach(function (field) {
      var key = form.dataset.chart + "." + field.name;
      field.value = Object.prototype.hasOwnProperty.call(state, key) && fits(field, state[key]) ? state[key] : first[field.name];
    });
    update(form);
  }
  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("form[data-choose]").forEach(function (form) {
      var first = {};
      fields(form).forEach(function (field) { first[field.name] = field.value; });
      figureOf(form.dataset.chart).querySelector(".finding").setAttribute("role", "status");
      restore(form, first);
      form.addEventListener("submit", function (event) { event.preventDefault(); });
      form.addEventListener("input", function () {
        if (!update(form)) { return; }
        var state = page.readState();
        fields(form).forEach(function (field) { state[form.dataset.chart + "." + field.name] = field.value === first[field.name] ? "" : field.value; });
        page.writeState(state);
      });
      window.addEventListener("hashchange", function () { restore(form, first); });
    });
  });
})();
