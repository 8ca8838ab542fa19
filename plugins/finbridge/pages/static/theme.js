// Two things that a page in a frame of Airflow's UI cannot do by itself.
(function () {
  "use strict";

  // Takes over the theme that Airflow's own UI was set to; without one, the style sheet follows the system's.
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

  // Links to Airflow's own pages (target="_top") open in the whole window, not inside the frame: the frame's sandbox
  // allows no navigation of its parent, so the parent follows the link itself.
  document.addEventListener("click", function (event) {
    var link = event.target.closest ? event.target.closest("a[target=_top]") : null;
    if (!link || window.parent === window || event.ctrlKey || event.metaKey || event.shiftKey) {
      return;
    }
    try {
      var follow = window.parent.document.createElement("a");
      follow.href = link.href;
      window.parent.document.body.appendChild(follow);
      event.preventDefault();
      follow.click();
      follow.remove();
    } catch (_error) {
      // The parent is not ours: the link opens in the frame.
    }
  });
})();
