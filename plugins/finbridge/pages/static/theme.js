// Takes over the theme that Airflow's own UI was set to; without one, the style sheet follows the system's.
(function () {
  "use strict";
  function theme() {
    var wanted = null;
    try {
      wanted = window.localStorage.getItem("theme");
    } catch (_error) {
      wanted = null;
    }
    if (wanted === "dark" || wanted === "light") {
      document.documentElement.setAttribute("data-theme", wanted);
    } else {
      document.documentElement.removeAttribute("data-theme");
    }
  }
  theme();
  window.addEventListener("storage", theme);
})();
