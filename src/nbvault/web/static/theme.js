// Before anything is painted: the reader's choice of dark or light, if there is one.
(function () {
  "use strict";
  try {
    var chosen = localStorage.getItem("theme");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  } catch (error) { /* without storage the system's choice holds */ }
})();
