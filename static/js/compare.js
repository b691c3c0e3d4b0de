// The query side by side with a similar case; v opens it with the first one. The dialog may come with an answer.
import { onKeys } from "./keys.js";

let place = 0;

const dialog = () => document.getElementById("compare");
const matches = () => [...document.querySelectorAll("[data-compare]")];

function compare(next) {
  const all = matches();
  place = (next + all.length) % all.length;
  const chosen = all[place].dataset;
  const picture = dialog().querySelector("[data-compare-match]");
  picture.src = chosen.preview;
  picture.alt = `Similar case ${chosen.number}`;
  dialog().querySelector("[data-compare-caption]").textContent = `${chosen.number}: ${chosen.caption}`;
  dialog().querySelector("[data-compare-link]").href = chosen.link;
  dialog().querySelector("[data-compare-place]").textContent = `${place + 1} of ${all.length}`;
}

onKeys({
  v: () => {
    if (!matches().length) return false;
    matches()[0].click();
  },
});
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-compare]");
  if (opener) {
    compare(matches().indexOf(opener));
    dialog().showModal();
  }
  const step = event.target.closest("[data-compare-step]");
  if (step) compare(place + Number(step.dataset.compareStep));
});
document.addEventListener("keydown", (event) => {
  if (!event.target.closest("#compare")) return;
  if (event.key === "ArrowRight" || event.key === "ArrowDown") compare(place + 1);
  else if (event.key === "ArrowLeft" || event.key === "ArrowUp") compare(place - 1);
  else return;
  event.preventDefault();
});
