// The queue by keyboard: j and k walk the rows, Enter opens, / goes to the search.
import { onKeys } from "./keys.js";

function walk(step) {
  const links = [...document.querySelectorAll("[data-row-link]")];
  if (!links.length) return;
  const here = links.indexOf(document.activeElement);
  const next = here < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(here + step, 0), links.length - 1);
  links[next].focus();
  links[next].closest("tr").scrollIntoView({ block: "nearest" });
}

onKeys({
  j: () => walk(1),
  k: () => walk(-1),
  "/": () => document.querySelector("[data-search]")?.focus(),
});

// Empty filters stay out of the address.
document.addEventListener("htmx:configRequest", (event) => {
  if (!event.target.matches?.("[data-filters]")) return;
  const parameters = event.detail.parameters;
  for (const name of Object.keys(parameters)) if (parameters[name] === "") delete parameters[name];
});
