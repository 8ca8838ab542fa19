// Airflow shows the pages in a frame that may not navigate the window around it. Links that lead into Airflow's own UI
// (target="_top") are therefore followed by the window itself; outside of a frame nothing is different.
(function () {
  "use strict";
  if (window.parent === window) {
    return;
  }
  document.documentElement.setAttribute("data-framed", "true");
  document.addEventListener("click", function (event) {
    var link = event.target instanceof Element ? event.target.closest('a[target="_top"]') : null;
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) {
      return;
    }
    var around;
    try {
      around = window.top.document;
    } catch (_error) {
      return; // somebody else's frame: the browser decides
    }
    event.preventDefault();
    var twin = around.createElement("a");
    twin.href = link.href;
    around.body.appendChild(twin);
    twin.click();
    twin.remove();
  });
})();
