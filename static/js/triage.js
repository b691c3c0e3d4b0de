// The triage page by keyboard.
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
};
for (let digit = 1; digit <= 9; digit += 1) keys[digit] = () => press(`[data-choice="${digit}"]`);
onKeys(keys);

// After a decision the new status line is read out and holds the focus, so that keys go on working.
document.addEventListener("htmx:afterSwap", () => document.querySelector("[data-decided]")?.focus());
