// Runs before the first paint: applies the remembered theme, so that no page flashes in the other one.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const remembered = localStorage.getItem("theme");
  if (remembered === "light" || remembered === "dark") root.dataset.theme = remembered;
})();
