// Choosing pictures for a new case: drop, paste, camera, order, roles; sends the form without leaving the page,
// so that a refused file costs nothing else.
import { pickFiles } from "./picking.js";

const form = document.querySelector("[data-upload]");
const input = form.querySelector("[data-upload-input]");
const zone = form.querySelector("[data-upload-zone]");
const list = form.querySelector("[data-upload-list]");
const template = document.getElementById("upload-item");
const problem = form.querySelector("[data-upload-problem]");
const submit = form.querySelector("[data-upload-submit]");
const limit = { files: Number(form.dataset.maxFiles), bytes: Number(form.dataset.maxBytes) };
let items = [];

const inMiB = (bytes) => `${(bytes / 1048576).toFixed(1)} MiB`;

function say(text) {
  problem.textContent = text;
  problem.hidden = !text;
}

function add(files) {
  say("");
  for (const file of files) {
    if (items.length >= limit.files) {
      say(`A case takes at most ${limit.files} pictures: ${file.name} and what followed was left out.`);
      break;
    }
    if (items.some((item) => item.file.name === file.name && item.file.size === file.size
      && item.file.lastModified === file.lastModified)) continue;
    const item = { file, role: "close_up", error: "", node: build(file) };
    if (file.size > limit.bytes) {
      item.error = `${file.name} has ${inMiB(file.size)}, and a picture may have at most ${inMiB(limit.bytes)}.`;
    }
    items.push(item);
  }
  draw();
}

function build(file) {
  const node = template.content.firstElementChild.cloneNode(true);
  const picture = node.querySelector("img");
  picture.src = URL.createObjectURL(file);
  picture.alt = "";
  // Browsers can't show every type that is accepted, TIFF for one.
  picture.addEventListener("error", () => node.classList.add("no-preview"));
  node.querySelector("[data-name]").textContent = file.name;
  return node;
}

function draw() {
  const files = new DataTransfer();
  items.forEach((item, place) => {
    files.items.add(item.file);
    const { node } = item;
    node.querySelector("[data-earlier]").disabled = place === 0;
    node.querySelector("[data-earlier]").setAttribute("aria-label", `Move ${item.file.name} forward`);
    node.querySelector("[data-remove]").setAttribute("aria-label", `Remove ${item.file.name}`);
    node.querySelector("select").setAttribute("aria-label", `What ${item.file.name} shows`);
    const error = node.querySelector("[data-error]");
    error.textContent = item.error;
    error.hidden = !item.error;
    if (list.children[place] !== node) list.insertBefore(node, list.children[place] || null);
  });
  while (list.children.length > items.length) list.lastElementChild.remove();
  input.files = files.files;
  list.hidden = !items.length;
}

list.addEventListener("click", (event) => {
  const place = items.findIndex((item) => item.node.contains(event.target));
  if (place < 0) return;
  if (event.target.closest("[data-remove]")) {
    URL.revokeObjectURL(items[place].node.querySelector("img").src);
    items.splice(place, 1);
    say("");
    draw();
    (list.querySelectorAll("[data-remove]")[place] || zone.querySelector("button")).focus();
  } else if (event.target.closest("[data-earlier]") && place > 0) {
    items.splice(place - 1, 0, items.splice(place, 1)[0]);
    draw();
    items[place - 1].node.querySelector("[data-earlier]").focus();
  }
});

input.addEventListener("change", () => add([...input.files]));
pickFiles(zone, add);

function showErrors(errors, files) {
  for (const [name, sentences] of Object.entries(errors)) {
    const field = form.elements[name];
    const place = form.querySelector(`[data-error-for="${name}"]`);
    if (place) {
      place.textContent = sentences.join(" ");
      place.hidden = false;
      field?.setAttribute?.("aria-invalid", "true");
      field?.closest?.("details")?.setAttribute("open", "");
    } else {
      say(sentences.join(" "));
    }
  }
  items.forEach((item, place) => { item.error = files[place] || ""; });
  draw();
  const first = form.querySelector("[aria-invalid='true']") || form.querySelector("[data-error]:not([hidden])")
    || problem;
  first.scrollIntoView({ block: "center" });
  if (first.matches("input, select, textarea")) first.focus();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (submit.disabled) return;
  say("");
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  for (const place of form.querySelectorAll("[data-error-for]")) place.hidden = true;
  submit.disabled = true;
  const label = submit.querySelector("span");
  const before = label.textContent;
  label.textContent = "Sending…";
  try {
    const answer = await fetch(form.action, {
      method: "POST", body: new FormData(form), headers: { Accept: "application/json" },
    });
    if (answer.headers.get("Content-Type")?.startsWith("application/json")) {
      const { next, errors, files } = await answer.json();
      if (next) {
        location.assign(next);
        return;
      }
      showErrors(errors, files);
    } else if (answer.status === 413) {
      say("All pictures together are more than the server takes. Send fewer or smaller ones.");
    } else if (answer.redirected) {
      say("You were logged out meanwhile. Log in in another tab, then send again: nothing here is lost.");
    } else if (answer.status === 403) {
      say("This page is too old, or you were logged out meanwhile. Log in in another tab, load this page again and choose the pictures again.");
    } else {
      say(`The server could not store the case (answer ${answer.status}). Nothing here is lost: try again.`);
    }
  } catch {
    say("The server can't be reached. Nothing here is lost: try again in a moment.");
  }
  submit.disabled = false;
  label.textContent = before;
});
