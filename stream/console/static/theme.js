// Before the first paint, so that a dark room never flashes white.
"use strict";
(() => {
  const kept = localStorage.getItem("theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
