// Many pictures for an inspector: sent one after the other, each with its mask, while the page shows how far it is.
import { pickFiles } from "./picking.js";

const form = document.querySelector("[data-add-pictures]");

const stem = (file) => file.name.replace(/\.[^.]*$/, "").toLowerCase();

function prepare() {
  const input = form.querySelector("[data-pictures]");
  const masks = form.querySelector("[data-masks]");
  const lines = form.querySelector("[data-lines]");
  const progress = form.querySelector("[data-progress]");
  const said = form.querySelector("[data-said]");
  const waiting = [];
  let working = false;
  let total = 0;
  let done = 0;

  function line(text) {
    const item = document.createElement("li");
    item.className = "added bad";
    item.dataset.added = "problem";
    item.textContent = text;
    lines.prepend(item);
  }

  function maskOf(file, alone) {
    const all = [...(masks?.files || [])];
    if (alone && all.length === 1) return all[0];
    return all.find((mask) => [stem(file), `${stem(file)}_mask`].includes(stem(mask)));
  }

  function show() {
    form.querySelector("[data-adding]").hidden = false;
    progress.max = total;
    progress.value = done;
    const kinds = (kind) => lines.querySelectorAll(`[data-added="${kind}"]`).length;
    const words = [`${done} of ${total} sent`, `${kinds("new")} added`];
    if (kinds("known")) words.push(`${kinds("known")} there already`);
    if (kinds("problem")) words.push(`${kinds("problem")} refused`);
    said.textContent = `${words.join(", ")}.`;
    form.querySelector("[data-reload]").hidden = working || !kinds("new");
  }

  async function send({ file, mask, defect }) {
    if (file.size > Number(form.dataset.maxBytes)) {
      line(`${file.name} has ${(file.size / 1048576).toFixed(1)} MiB, and a picture may have at most ${Math.floor(form.dataset.maxBytes / 1048576)} MiB.`);
      return;
    }
    const data = new FormData();
    data.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
    data.set("images", file);
    if (mask) data.set("masks", mask);
    if (defect) data.set("defect", defect);
    try {
      const answer = await fetch(location.pathname, { method: "POST", body: data, headers: { "HX-Request": "true" } });
      if (answer.redirected) line(`${file.name}: you were logged out meanwhile. Log in in another tab, then send it again.`);
      else if (answer.ok) lines.insertAdjacentHTML("afterbegin", await answer.text());
      else line(`${file.name}: the server could not store it (answer ${answer.status}). Send it again.`);
    } catch {
      line(`${file.name}: the server can't be reached. Send it again in a moment.`);
    }
  }

  async function work() {
    if (working) return;
    working = true;
    while (waiting.length) {
      await send(waiting.shift());
      done += 1;
      show();
    }
    working = false;
    show();
  }

  function add(files) {
    if (!files.length) return;
    const defect = form.querySelector("[data-defect]")?.value.trim();
    for (const file of files) waiting.push({ file, defect, mask: maskOf(file, files.length === 1) });
    total += files.length;
    const sent = waiting.map((item) => item.mask);
    for (const mask of masks?.files || []) {
      if (!sent.includes(mask)) line(`The mask ${mask.name} belongs to none of these pictures: call it as its picture, or with _mask behind the name.`);
    }
    show();
    work();
  }

  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = "";
  });
  pickFiles(form.querySelector("[data-upload-zone]"), add);
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("beforeunload", (event) => { if (working) event.preventDefault(); });
}

if (form) prepare();
