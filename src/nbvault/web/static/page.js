(function () {
  "use strict";

  function tellTimes(root) {
    root.querySelectorAll("time[datetime]").forEach(function (each) {
      var at = new Date(each.dateTime);
      if (isNaN(at)) return;
      each.title = each.dateTime;
      each.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    });
  }

  function isDark() {
    var chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function say(text) {
    var said = document.getElementById("said");
    said.textContent = text;
    said.hidden = !text;
  }

  function countChosen() {
    document.querySelectorAll("button[data-chosen]").forEach(function (button) {
      var count = button.form.querySelectorAll("input[name=path]:checked").length;
      button.disabled = !count;
      button.textContent = count ? "Restore " + count + " ticked …" : "Restore what is ticked …";
    });
  }

  // The reader's own way to write times; the day only where it is another than the one before.
  function tellTicks(_plot, splits, _axis, _space, step) {
    var before = "";
    return splits.map(function (each) {
      var at = new Date(each * 1000), day = at.toLocaleDateString(undefined, { day: "numeric", month: "short" });
      var time = step < 86400 ? at.toLocaleTimeString(undefined, { timeStyle: "short" }) : "";
      var shown = day === before ? "" : day;
      before = day;
      return [time, shown].filter(Boolean).join("\n");
    });
  }

  function draw(data) {
    var style = getComputedStyle(document.documentElement);
    var ink = style.getPropertyValue("--ink").trim(), line = style.getPropertyValue("--line").trim();
    var accent = style.getPropertyValue("--accent").trim();
    var share = data.good.map(function (each, at) {
      var from = Math.max(0, at - 19), sum = 0;
      for (var place = from; place <= at; place++) sum += data.good[place];
      return Math.round(100 * sum / (at - from + 1));
    });
    var series = {
      duration: data.duration_s.map(function (each) { return each / 60; }),
      changes: data.changes,
      good: share,
      bytes: data.bytes.map(function (each) { return each === null ? null : each / 1e6; })
    };
    document.querySelectorAll("[data-chart]").forEach(function (place) {
      place.replaceChildren();
      if (!data.at.length) { place.textContent = "Nothing to draw yet."; return; }
      var axis = { stroke: ink, grid: { stroke: line }, ticks: { stroke: line } };
      new uPlot({
        width: Math.max(place.clientWidth, 220), height: 150, legend: { show: false }, cursor: { show: false },
        scales: place.dataset.chart === "good" ? { y: { range: [0, 105] } } : {},
        series: [{}, { stroke: accent, width: 2, spanGaps: true, points: { show: data.at.length < 60, size: 5 } }],
        axes: [Object.assign({ values: tellTicks }, axis), Object.assign({ size: 56 }, axis)]
      }, [data.at, series[place.dataset.chart]], place);
      place.setAttribute("role", "img");
      place.setAttribute("aria-label", "Chart of " + data.at.length + " sessions");
      place.dataset.drawn = "yes";
    });
  }

  function charts() {
    var box = document.querySelector("[data-charts]");
    if (!box) return;
    fetch(box.dataset.charts, { headers: { accept: "application/json" } })
      .then(function (answer) { if (!answer.ok) throw new Error(); return answer.json(); })
      .then(draw)
      .catch(function () { say("The charts could not be loaded."); });
  }

  document.addEventListener("click", function (event) {
    if (event.target.closest("[data-theme-switch]")) {
      var next = isDark() ? "light" : "dark";
      document.documentElement.dataset.theme = next;
      try { localStorage.setItem("theme", next); } catch (error) { /* it lasts as long as the page */ }
      charts();
    }
  });

  document.addEventListener("keydown", function (event) {
    var field = event.target.closest("input, textarea, select");
    if (event.key === "/" && !field && !event.ctrlKey && !event.metaKey && !event.altKey) {
      var search = document.querySelector("[data-search]");
      event.preventDefault();
      if (search) search.focus(); else location.assign("/notebooks");
    }
  });

  document.addEventListener("change", countChosen);
  document.addEventListener("submit", function (event) {
    // Once is enough: a second press would only be refused.
    event.target.querySelectorAll("button[data-confirm]").forEach(function (button) { button.disabled = true; });
  });

  document.addEventListener("htmx:configRequest", function (event) {
    var csrf = document.querySelector("meta[name=csrf]");
    if (csrf && event.detail.verb !== "get") event.detail.headers["X-CSRF-Token"] = csrf.content;
    if (event.detail.elt.id === "query") {
      // Links that are shared need not name what is empty.
      var kept = event.detail.formData || event.detail.parameters;
      Array.from(kept.entries ? kept.entries() : []).forEach(function (pair) {
        if (pair[1] === "" || (pair[0] === "state" && pair[1] === "living")) kept.delete(pair[0]);
      });
    }
  });
  document.addEventListener("htmx:beforeRequest", function () { say(""); });
  document.addEventListener("htmx:responseError", function (event) {
    var code = event.detail.xhr.status;
    say(code === 401 ? "You are not signed in any more. Reload the page." :
      code === 429 ? "That was too fast. It is tried again in a moment." :
      code === 503 ? "The workspace does not answer now. Try again in a minute." : "That did not work. Reload the page.");
  });
  document.addEventListener("htmx:sendError", function () { say("nbvault does not answer. Is the network there?"); });
  document.addEventListener("htmx:afterSwap", function () { tellTimes(document); countChosen(); focusAgain(); });

  // What is pressed stays until it is let go: a click on what was replaced meanwhile would be lost.
  var pressed = null, late = [];
  document.addEventListener("pointerdown", function (event) { if (event.button === 0) pressed = event.target; }, true);
  ["pointerup", "pointercancel"].forEach(function (name) {
    document.addEventListener(name, function () {
      // The click comes after it, and on a touched screen not at once.
      setTimeout(function () {
        pressed = null;
        late.splice(0).forEach(function (each) {
          if (each.elt.isConnected) htmx.ajax(each.verb, each.path, { source: each.elt });
        });
      }, 50);
    }, true);
  });
  document.addEventListener("htmx:beforeSwap", function (event) {
    if (pressed && event.detail.target.contains(pressed)) {
      event.detail.shouldSwap = false;
      late = late.filter(function (each) { return each.elt !== event.detail.requestConfig.elt; });
      late.push(event.detail.requestConfig);
    } else rememberFocus(event.detail.target);
  });

  // Whoever goes by keyboard stays where they are, if it is there in what comes, too.
  var focused = null;
  function alike(name, html) {
    return Array.from(document.querySelectorAll(name)).filter(function (each) { return each.outerHTML === html; });
  }
  function rememberFocus(target) {
    var at = document.activeElement;
    focused = at !== target && target.contains(at) &&
      { name: at.localName, html: at.outerHTML, place: alike(at.localName, at.outerHTML).indexOf(at) };
  }
  function focusAgain() {
    if (!focused || document.activeElement !== document.body) return;
    var found = alike(focused.name, focused.html)[focused.place];
    if (found) found.focus({ preventScroll: true });
  }

  // What the workspace has not said yet is asked for again, unless the reader is leaving.
  function again() {
    var box = document.querySelector("[data-again]");
    if (!box) return;
    var timer = setTimeout(function () { location.replace(box.dataset.again); }, 150);
    addEventListener("beforeunload", function () { clearTimeout(timer); });
  }

  tellTimes(document);
  countChosen();
  charts();
  again();
})();
