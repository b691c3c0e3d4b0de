// The pictures to search with stay on the page, and answers come beside them: draw a box, search, draw another one.
import { pickFiles } from "./picking.js";

const form = document.querySelector("[data-picture-search]");
const input = form.querySelector("[data-pictures]");
const frame = form.querySelector("[data-region]");
const picture = frame.querySelector("[data-region-picture]");
const several = form.querySelector("[data-several]");
const note = form.querySelector("[data-note]");
const submit = form.querySelector("[data-whole-search]");
const picker = form.querySelector("[data-picks=id_images]");
let shown = [];

function thumbnail(url, file) {
  const image = document.createElement("img");
  image.className = "thumb";
  image.src = url;
  image.alt = file.name;
  const item = document.createElement("li");
  item.append(image);
  return item;
}

function show() {
  const files = [...input.files];
  for (const url of shown) URL.revokeObjectURL(url);
  shown = files.map((file) => URL.createObjectURL(file));
  form.classList.toggle("chosen", files.length > 0);
  picker.classList.toggle("primary", !files.length);
  frame.hidden = true;
  frame.dispatchEvent(new Event("region:reset"));
  several.replaceChildren(...(files.length > 1 ? files.map((file, place) => thumbnail(shown[place], file)) : []));
  note.textContent = files.length > 1 ? `${files.length} views of one thing are searched together. A box needs a single picture.` : "";
  submit.querySelector("span").textContent = files.length > 1 ? `Search with ${files.length} views` : "Search the whole picture";
  submit.hidden = !files.length;
  if (files.length === 1) {
    picture.alt = files[0].name;
    picture.src = shown[0];
  }
}

picture.addEventListener("load", () => { frame.hidden = false; });
// Browsers can't show every type that is accepted, TIFF for one.
picture.addEventListener("error", () => {
  note.textContent = `This browser can't show ${input.files[0].name}: only the whole picture can be searched.`;
});

function choose(files) {
  const chosen = new DataTransfer();
  for (const file of files) chosen.items.add(file);
  input.files = chosen.files;
  show();
}

input.addEventListener("change", show);
pickFiles(form.querySelector("[data-upload-zone]"), choose);
// A page that comes back from the history may still hold its files.
show();

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-whole-search]")) return;
  frame.dispatchEvent(new Event("region:reset"));
  if (!submit.contains(event.target)) form.requestSubmit(submit);
});
document.addEventListener("htmx:afterSwap", () => document.getElementById("found-title")?.focus());
