// One inspection: how strongly the heat map shows, outlines and boxes, regions by number.
import { onKeys } from "./keys.js";

const heat = document.querySelector("[data-heat]");
const opacity = document.querySelector("[data-opacity]");
let before = 60;

function show(value) {
  opacity.value = value;
  heat.style.opacity = value / 100;
}
opacity.addEventListener("input", () => show(opacity.value));

function light(number) {
  for (const node of document.querySelectorAll("[data-mark], [data-region-card]")) {
    node.classList.toggle("lit", (node.dataset.mark || node.dataset.regionCard) === String(number));
  }
}
for (const card of document.querySelectorAll("[data-region-card]")) {
  card.addEventListener("pointerenter", () => light(card.dataset.regionCard));
  card.addEventListener("pointerleave", () => light(0));
}

const toggle = (name) => () => document.querySelector(`[data-show="${name}"]`).click();
const press = (selector) => () => {
  const found = document.querySelector(selector);
  if (!found) return false;
  found.click();
};
const keys = {
  h: () => {
    const now = Number(opacity.value);
    if (now) before = now;
    show(now ? 0 : before);
  },
  o: toggle("outlines"),
  b: toggle("boxes"),
  i: press("[data-next]"),
  c: press("[data-open-case]"),
};
for (let digit = 1; digit <= 9; digit += 1) {
  keys[digit] = () => {
    const card = document.getElementById(`region-${digit}`);
    if (!card) return false;
    light(digit);
    card.focus({ preventScroll: true });
  };
}
onKeys(keys);
