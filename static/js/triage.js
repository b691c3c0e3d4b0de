// The triage page by keyboard, and the comparison of the query with a similar case.
import { onKeys } from "./keys.js";

const press = (selector) => {
  const button = document.querySelector(selector);
  if (!button) return false;
  button.click();
};
// A second key press must not replace what was just decided: then the button has to be pressed.
const confirm = () => !document.querySelector("[data-decided]") && press("[data-confirm]");
const otherCategory = () => {
  const input = document.querySelector("[data-other-category]");
  if (!input) return false;
  input.focus();
};

const keys = {
  c: confirm,
  Enter: confirm,
  u: () => press('[data-verdict="unknown"]'),
  n: () => press('[data-verdict="no_defect"]'),
  x: () => press('[data-verdict="unusable"]'),
  o: otherCategory,
  "/": otherCategory,
  j: () => press("[data-next-case]"),
  v: () => press("[data-compare]"),
};
for (let digit = 1; digit <= 9; digit += 1) keys[digit] = () => press(`[data-choice="${digit}"]`);
onKeys(keys);

const dialog = document.getElementById("compare");
let place = 0;

function matches() {
  return [...document.querySelectorAll("[data-compare]")];
}

function compare(next) {
  const all = matches();
  place = (next + all.length) % all.length;
  const chosen = all[place].dataset;
  const picture = dialog.querySelector("[data-compare-match]");
  picture.src = chosen.preview;
  picture.alt = `Similar case ${chosen.number}`;
  dialog.querySelector("[data-compare-caption]").textContent = `${chosen.number}: ${chosen.caption}`;
  dialog.querySelector("[data-compare-link]").href = chosen.link;
  dialog.querySelector("[data-compare-place]").textContent = `${place + 1} of ${all.length}`;
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-compare]");
  if (opener) {
    compare(matches().indexOf(opener));
    dialog.showModal();
  }
  const step = event.target.closest("[data-compare-step]");
  if (step) compare(place + Number(step.dataset.compareStep));
});
dialog?.addEventListener("keydown", (event) => {
  if (event.key === "ArrowRight" || event.key === "ArrowDown") compare(place + 1);
  else if (event.key === "ArrowLeft" || event.key === "ArrowUp") compare(place - 1);
  else return;
  event.preventDefault();
});

// After a decision the new status line is read out and holds the focus, so that keys go on working.
document.addEventListener("htmx:afterSwap", () => document.querySelector("[data-decided]")?.focus());
